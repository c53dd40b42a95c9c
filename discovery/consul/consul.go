// Package consul registers a service instance with a Consul agent, for package
// discovery:
//
//	client, err := api.NewClient(api.DefaultConfig())
//	if err != nil {
//		return err
//	}
//	err = discovery.Register(ctx, m, &consul.Registrar{Clients: []*api.Client{client}}, &api.AgentServiceRegistration{
//		ID: "orders-" + addr, Name: "orders", Address: host, Port: port,
//	})
//
// # Checks
//
// An instance without a check gets a TTL check, which is updated after each third of
// the TTL. If the process dies the check becomes critical when the TTL is over, and
// Consul removes the instance a minute later. An instance may have its own checks.
// The agent runs HTTP, gRPC and TCP checks. TTL checks are updated by this package,
// and are passing from the start unless their Status says otherwise.
//
// In either case this package asks the agent after each third of the TTL whether it
// still has the instance. If not, because the agent was restarted without its data,
// the instance is registered again, and a warning is logged.
//
// # Deregistration
//
// Deregistration stops the updates and waits until they have stopped, puts the
// instance into maintenance mode if [Registrar.Maintenance] is set, deregisters it,
// and reads the catalog, which is what clients see, until it does not have the
// instance any more.
//
// With ACLs the token needs service:write for the name and node:read to read the
// catalog. Without node:read Consul returns an empty catalog, and the deregistration
// is complete when the agent confirms it.
//
// Consul identifies an instance by its ID alone: an instance that deregisters also
// removes a successor with the same ID on the same agent. If the successor starts
// before the old instance has left, give each an ID of its own.
//
// An agent registers any ID, but cannot update or deregister an instance with an ID such
// as "http://10.0.0.7:8080": it takes the ID from the path of the request, in which it
// replaces "//" by "/". Register returns an error for such an ID.
//
// An agent may still execute a request that was cut off. Therefore a registration has
// another 500 ms after its context has ended, and one that runs because the agent
// had lost the instance has half of the time that Deregister has, but not more than
// 5 s. If the agent executes it later, the check that an instance gets by default
// removes the instance.
package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/consul/api"

	"github.com/gracefulgo/shutdown/discovery"
)

const defaultTTL = 15 * time.Second

// A Registrar registers instances with a Consul agent. It is a
// discovery.Registrar[*api.AgentServiceRegistration]. It may be used for several
// instances, and concurrently. Set its fields before the first use, and do not copy
// it after that.
type Registrar struct {
	// Clients are connections to the agent, in order of preference: to its socket,
	// to the loopback interface, to the address of the host. The first one that
	// answers is used, and an error means that all were tried. At least one is
	// required; one is enough if the agent runs on the same host.
	Clients []*api.Client

	// TTL is how long an instance that crashed counts as passing, if it has no
	// check of its own. For other instances it is three times the interval at which
	// the agent is asked for the instance, unless one of the checks has a shorter
	// TTL. Zero means 15 s.
	TTL time.Duration

	// Maintenance is how long the instance stays in maintenance mode, with the
	// reason "draining", before it is deregistered. Clients that use only passing
	// instances stop using it at once, and operators see the reason. This time is
	// part of the lame duck. It is limited to four fifths of the time that
	// Deregister has, which is two fifths of the Leave phase. Zero means that the
	// instance is deregistered at once.
	Maintenance time.Duration

	// Logger logs a warning when an agent has lost the instance or a check cannot
	// be updated, and a line when it is updated again. Nil means slog.Default().
	Logger *slog.Logger

	entries sync.Map // of *entry, by key; as many as there are instances that were ever registered
}

// Register registers i, and updates its TTL checks until Deregister. It replaces an
// instance of the same ID. It blocks until an agent has confirmed the registration,
// ctx ends (and up to 500 ms longer), or all Clients were tried. It does not change
// i. It is an error if i is registered already.
//
// An error says which field is wrong, or what the agents answered. After an error
// the agent may have the instance nevertheless; Deregister removes it.
func (r *Registrar) Register(ctx context.Context, i *api.AgentServiceRegistration) error {
	service, checks, ttl, err := r.complete(i)
	if err != nil {
		return err
	}
	e := r.entry(i)
	register := func(ctx context.Context) (time.Duration, error) {
		e.service, e.checks = service, checks
		return ttl, e.register(ctx)
	}
	if err := e.keepAlive.Register(ctx, register, e.renew); err != nil {
		return fmt.Errorf("consul: register %s: %w", e.id, err)
	}
	return nil
}

// Deregister stops updating the checks of i, puts i into maintenance mode for the
// time of Maintenance, deregisters i, and reads the catalog until i is removed. It
// blocks until then, or until ctx ends or all Clients have failed. After an error it
// may be called again, and does not wait for Maintenance again. If i is not
// registered it does nothing.
func (r *Registrar) Deregister(ctx context.Context, i *api.AgentServiceRegistration) error {
	if i == nil {
		return nil
	}
	e := r.entry(i)
	if err := e.keepAlive.Deregister(ctx, e.deregister); err != nil {
		return fmt.Errorf("consul: deregister %s: %w", e.id, err)
	}
	return nil
}

// complete returns a copy of i with a check, if it has none, and with the defaults
// of Consul; the IDs of its TTL checks; and the shortest TTL.
func (r *Registrar) complete(i *api.AgentServiceRegistration) (service *api.AgentServiceRegistration, checks []string, ttl time.Duration, err error) {
	switch {
	case len(r.Clients) == 0:
		return nil, nil, 0, errors.New("consul: Registrar.Clients is empty")
	case r.TTL < 0:
		return nil, nil, 0, fmt.Errorf("consul: Registrar.TTL is %v, and must not be negative", r.TTL)
	case r.Maintenance < 0:
		return nil, nil, 0, fmt.Errorf("consul: Registrar.Maintenance is %v, and must not be negative", r.Maintenance)
	case i == nil:
		return nil, nil, 0, errors.New("consul: the instance is nil")
	case i.Name == "":
		return nil, nil, 0, fmt.Errorf("consul: AgentServiceRegistration.Name is empty (its ID is %q)", i.ID)
	case !fitsPath(idOf(i)):
		return nil, nil, 0, fmt.Errorf("consul: AgentServiceRegistration.ID is %q: %w", idOf(i), errPath)
	}
	for n, c := range r.Clients {
		if c == nil {
			return nil, nil, 0, fmt.Errorf("consul: Registrar.Clients[%d] is nil", n)
		}
	}
	ttl = r.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	copied := *i
	copied.ID, copied.Check, copied.Checks = idOf(i), nil, nil
	if i.Check != nil {
		c := *i.Check
		copied.Checks = append(copied.Checks, &c)
	}
	for n, check := range i.Checks {
		if check == nil {
			return nil, nil, 0, fmt.Errorf("consul: AgentServiceRegistration.Checks[%d] of %s is nil", n, copied.ID)
		}
		c := *check
		copied.Checks = append(copied.Checks, &c)
	}
	if len(copied.Checks) == 0 {
		copied.Checks = api.AgentServiceChecks{{TTL: ttl.String(), DeregisterCriticalServiceAfter: "1m"}}
	}
	for n, c := range copied.Checks {
		if c.TTL == "" {
			continue
		}
		d, err := time.ParseDuration(c.TTL)
		if err != nil || d <= 0 {
			return nil, nil, 0, fmt.Errorf("consul: the TTL of check %d of %s is %q, and must be a positive duration", n+1, copied.ID, c.TTL)
		}
		ttl = min(ttl, d)
		if c.CheckID == "" {
			c.CheckID = fmt.Sprintf("service:%s:%d", copied.ID, n+1)
		}
		if !fitsPath(c.CheckID) {
			return nil, nil, 0, fmt.Errorf("consul: the CheckID of check %d of %s is %q: %w", n+1, copied.ID, c.CheckID, errPath)
		}
		if c.Status == "" {
			c.Status = api.HealthPassing
		}
		checks = append(checks, c.CheckID)
	}
	return &copied, checks, ttl, nil
}

var errPath = errors.New("an agent cannot find it in the path of a request: a part between slashes is empty, . or .., or a character is not printable")

// fitsPath reports whether an agent finds id in the path of a request. It registers any ID,
// but cleans the path of later requests, also if the ID is escaped there, and refuses
// characters that are not printable (hashicorp/consul#13913, #20122). The instance would
// stay in the catalog, and its TTL checks would not be updated.
func fitsPath(id string) bool {
	const base = "/v1/"
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return path.Clean(base+id) == base+strings.TrimSuffix(id, "/") && !strings.ContainsFunc(id, unprintable)
}

func (r *Registrar) entry(i *api.AgentServiceRegistration) *entry {
	key := i.Partition + "/" + i.Namespace + "/" + idOf(i)
	if e, ok := r.entries.Load(key); ok {
		return e.(*entry)
	}
	log := r.Logger
	if log == nil {
		log = slog.Default()
	}
	log = log.With("registry", "consul", "id", idOf(i))
	e, _ := r.entries.LoadOrStore(key, &entry{
		keepAlive: discovery.KeepAlive{Logger: log},
		r:         r,
		id:        idOf(i),
	})
	return e.(*entry)
}

// idOf returns the ID that Consul uses, which is the name if there is no ID.
func idOf(i *api.AgentServiceRegistration) string {
	if i.ID != "" {
		return i.ID
	}
	return i.Name
}
