package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gracefulgo/shutdown/discovery"
)

const (
	// maxAttempt limits one request. A request that succeeds takes less.
	maxAttempt = 5 * time.Second
	// linger is how long a registration may still run after its context has ended.
	linger = 500 * time.Millisecond
	// The catalog is read at growing intervals, because each read is work for
	// Consul's leader.
	minPause = 50 * time.Millisecond
	maxPause = time.Second
)

// An entry is one instance at an agent. The methods below run under keepAlive, one
// at a time.
type entry struct {
	keepAlive discovery.KeepAlive
	r         *Registrar
	id        string

	service    *api.AgentServiceRegistration
	checks     []string // the IDs of the TTL checks
	mayExist   bool     // an agent may have the instance
	maintained bool     // maintenance mode was requested
	preferred  int      // index of the client that answered last
}

// register registers with the first client that answers.
func (e *entry) register(ctx context.Context) error {
	return e.each(ctx, func(ctx context.Context, c *api.Client) error {
		callCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(linger, cancel) })()
		err := c.Agent().ServiceRegisterOpts(e.service, api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(callCtx))
		var dial *net.OpError
		if !errors.As(err, &dial) || dial.Op != "dial" { // without a connection the agent has got no request
			e.mayExist = true
		}
		return err
	})
}

// renew updates the TTL checks.
func (e *entry) renew(ctx context.Context) (lost bool, err error) {
	err = e.each(ctx, func(ctx context.Context, c *api.Client) error {
		var refused error
		for _, check := range e.checks {
			err := c.Agent().UpdateTTLOpts(check, "", api.HealthPassing, e.query(ctx))
			if err != nil && !answered(err) {
				return err
			}
			refused = errors.Join(refused, err)
		}
		if refused == nil && len(e.checks) > 0 {
			return nil
		}
		// The answer for an unknown check depends on the version of the agent.
		if _, _, err := c.Agent().Service(e.id, e.query(ctx)); err != nil {
			return err
		}
		return refused
	})
	if notFound(err) {
		return true, nil
	}
	return false, err
}

func (e *entry) deregister(ctx context.Context) error {
	if !e.mayExist {
		return nil
	}
	if err := e.maintain(ctx); err != nil {
		text := fmt.Sprintf("%.500v", err) // a proxy may answer with a whole page
		e.keepAlive.Logger.Warn("consul: maintenance mode not set", "error", text)
	}
	if err := e.remove(ctx); err != nil {
		return err
	}
	e.mayExist, e.maintained = false, false
	return nil
}

// maintain puts the instance into maintenance mode, once, and waits for as long as
// that should last.
func (e *entry) maintain(ctx context.Context) error {
	if e.r.Maintenance == 0 || e.maintained {
		return nil
	}
	e.maintained = true
	err := e.each(ctx, func(ctx context.Context, c *api.Client) error {
		return c.Agent().EnableServiceMaintenanceOpts(e.id, "draining: this instance is shutting down", e.query(ctx))
	})
	if err != nil {
		return err
	}
	wait := e.r.Maintenance
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)*4/5)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// remove deregisters with one client after another until the catalog does not have
// the instance any more.
func (e *entry) remove(ctx context.Context) error {
	var failed error
	confirmed := false
	for n, c := range e.clients() {
		err := attempt(ctx, len(e.r.Clients)-n+1, func(ctx context.Context) error {
			return c.Agent().ServiceDeregisterOpts(e.id, e.query(ctx))
		})
		if err != nil && !notFound(err) {
			failed = errors.Join(failed, err)
			continue
		}
		confirmed = true
		if e.readBack(ctx) == nil {
			return nil
		}
	}
	if !confirmed {
		return failed
	}
	// An agent that cannot reach its servers tells them later.
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := e.readBack(ctx)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("read the catalog: %w", errors.Join(err, failed))
		}
	}
}

// readBack returns nil if the catalog does not have the instance.
func (e *entry) readBack(ctx context.Context) error {
	return e.each(ctx, func(ctx context.Context, c *api.Client) error {
		q := e.query(ctx)
		q.RequireConsistent = true
		found, _, err := c.Catalog().Service(e.service.Name, "", q)
		if err != nil {
			return err
		}
		for _, s := range found { // an ID is unique only on its node
			if s.ServiceID == e.id && s.ServiceAddress == e.service.Address && s.ServicePort == e.service.Port {
				return fmt.Errorf("it still has the instance, on node %s", s.Node)
			}
		}
		return nil
	})
}

// each tries call with one client after another, first with the one that answered
// last, until one succeeds or does not know the instance. An attempt gets its share
// of the time that is left.
func (e *entry) each(ctx context.Context, call func(context.Context, *api.Client) error) error {
	var failed error
	for n, c := range e.clients() {
		err := attempt(ctx, len(e.r.Clients)-n, func(ctx context.Context) error { return call(ctx, c) })
		if err == nil || notFound(err) {
			e.preferred = (e.preferred + n) % len(e.r.Clients)
			return err
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// clients returns all clients, first the one that answered last.
func (e *entry) clients() []*api.Client {
	return append(slices.Clone(e.r.Clients[e.preferred:]), e.r.Clients[:e.preferred]...)
}

func (e *entry) query(ctx context.Context) *api.QueryOptions {
	q := &api.QueryOptions{Namespace: e.service.Namespace, Partition: e.service.Partition}
	return q.WithContext(ctx)
}

func attempt(ctx context.Context, left int, call func(context.Context) error) error {
	limit := maxAttempt
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/time.Duration(left))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return call(ctx)
}

// answered reports whether err is an answer of an agent.
func answered(err error) bool {
	var status api.StatusError
	return errors.As(err, &status)
}

// notFound reports whether err is the answer of an agent that does not have the
// instance.
func notFound(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}
