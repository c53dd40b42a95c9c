// Package etcd registers an instance in etcd, for package discovery:
//
//	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 2 * time.Second})
//	if err != nil {
//		return err
//	}
//	m.On(shutdown.Close, "etcd", func(context.Context) error { return client.Close() })
//	...
//	err = discovery.Register(ctx, m, &etcd.Registrar{Client: client}, etcd.Instance{
//		Key:   "/services/orders/" + addr,
//		Value: addr,
//	})
//
// # What happens in etcd
//
// The entry is a key with a lease, which is kept alive every third of its TTL.
// If the lease is lost, because etcd could not be reached for that long or has
// lost its data, the instance is registered again, and a warning is logged.
//
// Deregistration stops the keep-alive and waits until it has stopped, revokes
// the lease, which deletes the key, and reads the key back. A registration that
// was cut off on its way cannot come true after that, because etcd refuses a
// key whose lease is gone. If etcd cannot be reached until the end of the
// phase, the entry goes with its lease, after the TTL at the latest.
//
// With authentication the user needs to read the key, and not only to write it.
// A key that somebody deletes by hand stays deleted, because its lease is alive.
//
// A key that another instance has taken over in the meantime, such as the
// successor on the same address, has that one's lease and stays.
//
// # Several endpoints
//
// The client sends one call after another to the next endpoint that it is
// connected to. A call that hangs, because the member behind it is frozen or
// the network swallows what it is sent, is therefore given up after its share
// of the time and tried again, so that each endpoint has its turn.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	defaultTTL = 15 * time.Second
	// No call that succeeds takes etcd longer than that.
	maxAttempt = 5 * time.Second
)

// An Instance is an entry in etcd.
type Instance struct {
	Key   string // where clients look: "/services/orders/10.0.0.7:8080"
	Value string // what they expect to find there: an address, or some JSON
}

// String returns the key, which is what logs call the instance.
func (i Instance) String() string { return i.Key }

// A Registrar registers Instances in etcd. It is a
// discovery.Registrar[etcd.Instance], and may be used for any number of
// instances, at the same time. Its fields are set before the first use; it must
// not be copied after that.
type Registrar struct {
	// Client is the connection to etcd, which its owner closes, in a Close
	// hook. It is required.
	Client *clientv3.Client

	// TTL is how long an instance that died without deregistering stays in the
	// registry: whole seconds. Zero means 15 s. etcd raises what is less than
	// one and a half times its election timeout.
	TTL time.Duration

	// Logger hears of leases that were lost, and of registrations that came
	// back. Nil means slog.Default().
	Logger *slog.Logger

	mu      sync.Mutex // protects what follows
	entries map[string]*entry
}

// Register writes i.Key, and keeps it alive until Deregister. It blocks until
// etcd has confirmed that, ctx ends, or each endpoint has had its turn. It does
// not wait for a key that exists to go away, but takes it over.
//
// An error says which field is impossible, or what etcd has said. After an
// error there may be an entry nevertheless, for as long as the TTL, which
// Deregister removes. An instance that is registered already is an error.
func (r *Registrar) Register(ctx context.Context, i Instance) error {
	switch {
	case r.Client == nil:
		return errors.New("etcd: Registrar.Client is nil")
	case r.TTL < 0 || r.TTL%time.Second != 0:
		return fmt.Errorf("etcd: Registrar.TTL is %v, and leases last whole seconds", r.TTL)
	case i.Key == "":
		return fmt.Errorf("etcd: Instance.Key is empty (its value is %q)", i.Value)
	}
	e := r.entry(i.Key)
	if err := e.acquire(ctx); err != nil {
		return fmt.Errorf("etcd: register %s: %w", i.Key, err)
	}
	defer e.release()
	if e.joined != nil {
		return fmt.Errorf("etcd: register %s: it is registered already", i.Key)
	}
	e.value = i.Value
	if err := e.put(ctx); err != nil {
		return fmt.Errorf("etcd: register %s: %w", i.Key, err)
	}
	keepAliveCtx, stop := context.WithCancel(context.Background())
	e.stop, e.joined = stop, make(chan struct{})
	go e.keepAlive(keepAliveCtx)
	return nil
}

// Deregister stops the keep-alive of i, revokes its lease and reads back that
// the key is gone. It blocks until then, or until ctx ends or each endpoint has
// had its turn. After an error it may be called again. For an instance that is
// not registered it does nothing.
func (r *Registrar) Deregister(ctx context.Context, i Instance) error {
	e := r.entry(i.Key)
	if err := e.acquire(ctx); err != nil {
		return fmt.Errorf("etcd: deregister %s: %w", i.Key, err)
	}
	defer e.release()
	if err := e.join(ctx); err != nil {
		return fmt.Errorf("etcd: deregister %s: %w", i.Key, err)
	}
	if e.lease == clientv3.NoLease {
		return nil
	}
	if err := e.revoke(ctx); err != nil {
		return fmt.Errorf("etcd: deregister %s: %w (its lease ends in %v at the latest)", i.Key, err, e.ttl)
	}
	e.lease = clientv3.NoLease
	return nil
}

// entry returns what is known of key. Entries stay: there are as many as keys
// that this process has ever registered.
func (r *Registrar) entry(key string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[key]
	if !ok {
		e = &entry{r: r, key: key, busy: make(chan struct{}, 1)}
		if r.entries == nil {
			r.entries = make(map[string]*entry)
		}
		r.entries[key] = e
	}
	return e
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
