// Package consul registers an instance with a Consul agent, for package
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
// An instance without a check gets one with a TTL, which is renewed every third
// of it; if the process dies the check turns critical after the TTL, and Consul
// removes the instance a minute later. An instance may bring its own checks:
// HTTP, gRPC and TCP ones are the agent's work; those with a TTL are renewed
// here, and pass from the start unless their Status says otherwise.
//
// In either case it is looked every third of the TTL whether the agent still
// knows the instance. If it does not, because it was started again without its
// data, the instance is registered again, and a warning is logged.
//
// # Leaving
//
// Deregistration stops the renewal and waits until it has stopped, marks the
// instance as in maintenance for a while if [Registrar.Maintenance] says so,
// deregisters it, and reads the catalog until the instance is not in it any
// more: what clients read, not what the agent has been told.
//
// With ACLs the token needs service:write for the name and, to read back,
// node:read: without that Consul shows nothing, and the instance counts as gone
// when the agent says so.
//
// Consul knows an instance by its ID alone, so an instance that leaves takes a
// successor with the same ID along. If the successor starts before this one has
// left, on the same agent, give each an ID of its own.
//
// A request that is cut off may be carried out by the agent at any time. So the
// end of a context gives a registration another 500 ms, and one that is under
// way because the agent had lost the instance has 5 s, or half of the time that
// Deregister has if that is less. What comes true later than that goes with its
// TTL, which the default check has.
package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

const defaultTTL = 15 * time.Second

// A Registrar registers instances with a Consul agent. It is a
// discovery.Registrar[*api.AgentServiceRegistration], and may be used for any
// number of instances, at the same time. Its fields are set before the first
// use; it must not be copied after that.
type Registrar struct {
	// Clients are ways to the agent, in order of preference: its socket, the
	// loopback interface, the address of the host. The first that answers takes
	// the registration; each is tried before anything is given up. One is
	// required, and enough where the agent is on the same host.
	Clients []*api.Client

	// TTL is how long an instance that died without deregistering passes for
	// alive. It is for instances that bring no check of their own; for the
	// others it is three times the interval of looking after them, unless a
	// check's own TTL is shorter. Zero means 15 s.
	TTL time.Duration

	// Maintenance is how long the instance is marked as in maintenance, with
	// the reason "draining", before it is deregistered: clients that only take
	// passing instances leave it at once, and people see why. It is a part of
	// the lame duck, and at most four fifths of the time that Deregister has,
	// which is two fifths of Leave. Zero means that the instance is deregistered
	// at once.
	Maintenance time.Duration

	// Logger hears of agents that have lost the instance, and of registrations
	// that came back. Nil means slog.Default().
	Logger *slog.Logger

	mu      sync.Mutex // protects what follows
	entries map[string]*entry
}

// Register registers i, and renews its TTL checks until Deregister. It blocks
// until an agent has confirmed that, ctx ends (and up to 500 ms longer), or
// each of the Clients has had its turn. It does not change i. If the agent has
// an instance of this ID, that is replaced.
//
// An error says which field is impossible, or what the agents have said. After
// an error there may be an entry nevertheless, which Deregister removes. An
// instance that is registered already is an error.
func (r *Registrar) Register(ctx context.Context, i *api.AgentServiceRegistration) error {
	service, checks, ttl, err := r.complete(i)
	if err != nil {
		return err
	}
	e := r.entry(i)
	if err := e.acquire(ctx); err != nil {
		return fmt.Errorf("consul: register %s: %w", e.id, err)
	}
	defer e.release()
	if e.joined != nil {
		return fmt.Errorf("consul: register %s: it is registered already", e.id)
	}
	e.service, e.checks, e.ttl = service, checks, ttl
	if err := e.register(ctx); err != nil {
		return fmt.Errorf("consul: register %s: %w", e.id, err)
	}
	keepAliveCtx, stop := context.WithCancel(context.Background())
	registerCtx, cut := context.WithCancel(context.Background())
	e.stop, e.cut, e.joined = stop, cut, make(chan struct{})
	go e.keepAlive(keepAliveCtx, registerCtx)
	return nil
}

// Deregister stops the renewal of i, has it in maintenance for as long as
// Maintenance says, deregisters it and reads the catalog until it has gone from
// there. It blocks until then, or until ctx ends or none of the Clients answers.
// After an error it may be called again, and does not wait for Maintenance
// again. For an instance that is not registered it does nothing.
func (r *Registrar) Deregister(ctx context.Context, i *api.AgentServiceRegistration) error {
	if i == nil {
		return nil
	}
	e := r.entry(i)
	if err := e.acquire(ctx); err != nil {
		return fmt.Errorf("consul: deregister %s: %w", e.id, err)
	}
	defer e.release()
	if err := e.join(ctx); err != nil {
		return fmt.Errorf("consul: deregister %s: %w", e.id, err)
	}
	if !e.there {
		return nil
	}
	if err := e.maintain(ctx); err != nil {
		r.logger().Warn("consul: not marked as draining", "id", e.id, "error", text(err))
	}
	if err := e.deregister(ctx); err != nil {
		return fmt.Errorf("consul: deregister %s: %w", e.id, err)
	}
	e.there, e.maintained = false, false
	return nil
}

// complete returns a copy of i with what Consul would fill in, and a check if i
// has none, and the TTL checks, and how soon the first of them expires.
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
	for _, check := range i.Checks {
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
		if c.Status == "" {
			c.Status = api.HealthPassing
		}
		checks = append(checks, c.CheckID)
	}
	return &copied, checks, ttl, nil
}

// entry returns what is known of i. Entries stay: there are as many as
// instances that this process has ever registered.
func (r *Registrar) entry(i *api.AgentServiceRegistration) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := i.Partition + "/" + i.Namespace + "/" + idOf(i)
	e, ok := r.entries[key]
	if !ok {
		e = &entry{r: r, id: idOf(i), busy: make(chan struct{}, 1)}
		if r.entries == nil {
			r.entries = make(map[string]*entry)
		}
		r.entries[key] = e
	}
	return e
}

// idOf is the ID that Consul uses: the name, if there is none.
func idOf(i *api.AgentServiceRegistration) string {
	if i.ID != "" {
		return i.ID
	}
	return i.Name
}

func (r *Registrar) logger() *slog.Logger {
	if r.Logger != nil {
		return r.Logger
	}
	return slog.Default()
}

// maxText is how much of an error a log line has: a server may answer with a
// whole page.
const maxText = 2 << 10

// text is that of err, for a log line.
func text(err error) string {
	const cut = "... (cut)"
	s := fmt.Sprint(err) // which survives an Error that panics
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText-len(cut)], "") + cut
	}
	return s
}
