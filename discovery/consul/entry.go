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
)

const (
	// No call that succeeds takes an agent longer than that.
	maxAttempt = 5 * time.Second
	// What a registration has to finish after the end of its context.
	linger = 500 * time.Millisecond
	// How often the catalog is looked at until an instance has gone: less and
	// less often, because such a look is work for Consul's leader.
	minLook = 50 * time.Millisecond
	maxLook = time.Second
)

// An entry is one instance at an agent. Whoever holds busy owns it; while the
// keep-alive runs, which is from Register to the join in Deregister, that owns
// what is below joined.
type entry struct {
	r      *Registrar
	id     string
	busy   chan struct{} // a mutex that can be waited for with a context
	stop   context.CancelFunc
	cut    context.CancelFunc // of a registration that the keep-alive has under way
	joined chan struct{}      // closed when the keep-alive has ended; nil if there is none

	service    *api.AgentServiceRegistration
	checks     []string      // the IDs of those with a TTL
	ttl        time.Duration // three times the interval of renewal
	there      bool          // an agent may know it
	maintained bool          // it was marked as draining, or that was tried
	home       int           // which of the Clients answered last
}

func (e *entry) acquire(ctx context.Context) error {
	select {
	case e.busy <- struct{}{}:
		return nil
	default: // also if ctx has ended: the keep-alive can be stopped
	}
	select {
	case e.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another call: %w", context.Cause(ctx))
	}
}

func (e *entry) release() { <-e.busy }

// register registers with the first of the clients that answers.
func (e *entry) register(ctx context.Context) error {
	return e.each(ctx, func(ctx context.Context, c *api.Client) error {
		callCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, func() { time.AfterFunc(linger, cancel) })()
		err := c.Agent().ServiceRegisterOpts(e.service, api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(callCtx))
		var dial *net.OpError
		if !errors.As(err, &dial) || dial.Op != "dial" { // else the agent has not heard of it
			e.there = true
		}
		return err
	})
}

// keepAlive renews the checks until ctx ends. What it registers again meanwhile
// is cut off by registerCtx alone.
func (e *entry) keepAlive(ctx, registerCtx context.Context) {
	defer close(e.joined)
	const soon = time.Second
	log, failing := e.r.logger(), false
	timer := time.NewTimer(e.ttl / 3)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		err := e.renew(ctx, registerCtx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing:
			log.Info("consul: the registration is alive again", "id", e.id)
		case err != nil && !failing:
			log.Warn("consul: the registration is not kept alive", "id", e.id, "error", text(err))
		}
		failing = err != nil
		if failing {
			timer.Reset(min(e.ttl/6, soon))
		} else {
			timer.Reset(e.ttl / 3)
		}
	}
}

// renew renews the checks once, or registers again if the agent does not know
// the instance.
func (e *entry) renew(ctx, registerCtx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(e.ttl, time.Second))
	defer cancel()
	err := e.each(ctx, func(ctx context.Context, c *api.Client) error {
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
		// Agents say in different ways that they do not know a check.
		if _, _, err := c.Agent().Service(e.id, e.query(ctx)); err != nil {
			return err
		}
		return refused
	})
	if !unknown(err) || ctx.Err() != nil {
		return err
	}
	e.r.logger().Warn("consul: the agent has lost the instance, registering again", "id", e.id)
	return e.register(registerCtx)
}

// join stops the keep-alive and waits until it has stopped. A registration
// under way has half of the time to finish.
func (e *entry) join(ctx context.Context) error {
	if e.joined == nil {
		return nil
	}
	e.stop()
	patience := maxAttempt
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	defer time.AfterFunc(patience, e.cut).Stop()
	select {
	case <-e.joined:
		e.cut()
		e.joined = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the keep-alive to end: %w", context.Cause(ctx))
	}
}

// maintain marks the instance as draining, once, and waits as long as that is
// to last.
func (e *entry) maintain(ctx context.Context) error {
	if e.r.Maintenance == 0 || e.maintained {
		return nil
	}
	e.maintained = true
	err := e.each(ctx, func(ctx context.Context, c *api.Client) error {
		return c.Agent().EnableServiceMaintenanceOpts(e.id, "draining: this instance is about to end", e.query(ctx))
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

// deregister asks one client after another until the instance has gone from the
// catalog.
func (e *entry) deregister(ctx context.Context) error {
	var failed error
	heard := false
	for n, c := range e.clients() {
		err := attempt(ctx, len(e.r.Clients)-n+1, func(ctx context.Context) error {
			return c.Agent().ServiceDeregisterOpts(e.id, e.query(ctx))
		})
		if err != nil && !unknown(err) {
			failed = errors.Join(failed, err)
			continue
		}
		heard = true
		if e.inCatalog(ctx) == nil {
			return nil
		}
	}
	if !heard {
		return failed
	}
	// An agent that could not reach its servers tells them when it can.
	for look := minLook; ; look = min(2*look, maxLook) {
		err := e.inCatalog(ctx)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(look)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("read it back: %w", errors.Join(err, failed))
		}
	}
}

// inCatalog is nil if clients do not find the instance any more.
func (e *entry) inCatalog(ctx context.Context) error {
	return e.each(ctx, func(ctx context.Context, c *api.Client) error {
		q := e.query(ctx)
		q.RequireConsistent = true
		found, _, err := c.Catalog().Service(e.service.Name, "", q)
		if err != nil {
			return err
		}
		for _, s := range found { // an ID is unique only on its node
			if s.ServiceID == e.id && s.ServiceAddress == e.service.Address && s.ServicePort == e.service.Port {
				return fmt.Errorf("it is still in the catalog, on node %s", s.Node)
			}
		}
		return nil
	})
}

// each tries call with one client after another, beginning with the one that
// answered last, until one succeeds or does not know the instance. An attempt
// has its share of the time that is left.
func (e *entry) each(ctx context.Context, call func(context.Context, *api.Client) error) error {
	var failed error
	for n, c := range e.clients() {
		err := attempt(ctx, len(e.r.Clients)-n, func(ctx context.Context) error { return call(ctx, c) })
		if err == nil || unknown(err) {
			e.home = (e.home + n) % len(e.r.Clients)
			return err
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// clients returns all of them, the one that answered last first.
func (e *entry) clients() []*api.Client {
	return append(slices.Clone(e.r.Clients[e.home:]), e.r.Clients[:e.home]...)
}

func (e *entry) query(ctx context.Context) *api.QueryOptions {
	q := &api.QueryOptions{}
	if e.service != nil {
		q.Namespace, q.Partition = e.service.Namespace, e.service.Partition
	}
	return q.WithContext(ctx)
}

func attempt(ctx context.Context, left int, call func(context.Context) error) error {
	share := maxAttempt
	if deadline, ok := ctx.Deadline(); ok {
		share = min(share, time.Until(deadline)/time.Duration(left))
	}
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	return call(ctx)
}

// answered reports whether err is what an agent has said.
func answered(err error) bool {
	var status api.StatusError
	return errors.As(err, &status)
}

// unknown reports whether err says that the agent does not know the instance.
func unknown(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}
