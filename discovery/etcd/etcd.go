// Package etcd registers a service instance in etcd, for package discovery:
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
// # The entry in etcd
//
// The entry is a key with a lease, which is renewed after each third of its TTL. If
// the lease is lost, because etcd was unreachable for longer than the TTL or has
// lost its data, the instance is registered again, and a warning is logged. A key
// that somebody else deletes stays deleted while its lease exists.
//
// Deregistration stops the renewal, waits until it has stopped, revokes the lease,
// which deletes the key, and reads the key back. A write that was cut off cannot
// succeed after that, because etcd refuses a key whose lease is gone. If etcd is
// unreachable until the end of the Leave phase, the key is deleted when the TTL of
// its lease is over.
//
// A key that another instance has taken over in the meantime, such as a successor
// with the same address, has the lease of that instance and is not deleted.
//
// With authentication the user needs permission to read the key, not only to write
// it.
//
// # Several endpoints
//
// The client balances its calls over the endpoints that it is connected to. A call
// to a member that hangs, or over a network that drops packets, gets a share of the
// time that is left and is then repeated, so that every endpoint is tried.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/gracefulgo/shutdown/discovery"
)

const defaultTTL = 15 * time.Second

// An Instance is one entry in etcd.
type Instance struct {
	Key   string // where clients look for it, such as "/services/orders/10.0.0.7:8080"
	Value string // what clients expect to find: an address or a JSON document
}

// String returns the key. Logs and the Report use it as the name of the instance.
func (i Instance) String() string { return i.Key }

// A Registrar registers Instances in etcd. It is a
// discovery.Registrar[etcd.Instance]. It may be used for several instances, and
// concurrently. Set its fields before the first use, and do not copy it after that.
type Registrar struct {
	// Client is the connection to etcd. It is required. The Registrar does not
	// close it: do that in a Close hook.
	Client *clientv3.Client

	// TTL is how long the entry of an instance that crashed stays in etcd, in
	// whole seconds. Zero means 15 s. etcd raises a TTL that is shorter than one
	// and a half times its election timeout.
	TTL time.Duration

	// Logger logs a warning when a lease is lost or cannot be renewed, and a line
	// when it is renewed again. Nil means slog.Default().
	Logger *slog.Logger

	entries sync.Map // of *entry, by key; as many as there are keys that were ever registered
}

// Register writes i.Key with a lease, and keeps the lease alive until Deregister.
// It overwrites a key that exists. It blocks until etcd has confirmed the write, ctx
// ends, or every endpoint was tried. It is an error if i is registered already.
//
// An error says which field is wrong, or what etcd answered. After an error the key
// may exist nevertheless, for the TTL at most; Deregister deletes it.
func (r *Registrar) Register(ctx context.Context, i Instance) error {
	switch {
	case r.Client == nil:
		return errors.New("etcd: Registrar.Client is nil")
	case r.TTL < 0 || r.TTL%time.Second != 0:
		return fmt.Errorf("etcd: Registrar.TTL is %v, and must be whole seconds", r.TTL)
	case i.Key == "":
		return fmt.Errorf("etcd: Instance.Key is empty (its value is %q)", i.Value)
	}
	e := r.entry(i.Key)
	register := func(ctx context.Context) (time.Duration, error) {
		e.value = i.Value
		err := e.put(ctx)
		return e.ttl, err
	}
	if err := e.keepAlive.Register(ctx, register, e.renew); err != nil {
		return fmt.Errorf("etcd: register %s: %w", i.Key, err)
	}
	return nil
}

// Deregister stops renewing the lease of i, revokes it, and reads back that the key
// is deleted. It blocks until then, or until ctx ends or every endpoint was tried.
// After an error it may be called again. If i is not registered it does nothing.
func (r *Registrar) Deregister(ctx context.Context, i Instance) error {
	e := r.entry(i.Key)
	if err := e.keepAlive.Deregister(ctx, e.deregister); err != nil {
		return fmt.Errorf("etcd: deregister %s: %w", i.Key, err)
	}
	return nil
}

func (r *Registrar) entry(key string) *entry {
	if e, ok := r.entries.Load(key); ok {
		return e.(*entry)
	}
	log := r.Logger
	if log == nil {
		log = slog.Default()
	}
	e, _ := r.entries.LoadOrStore(key, &entry{
		keepAlive: discovery.KeepAlive{Logger: log.With("registry", "etcd", "key", key)},
		r:         r,
		key:       key,
	})
	return e.(*entry)
}
