// Package discovery takes a service out of its registry before it stops
// answering, so that nobody is sent to an instance that has gone.
//
//	err := discovery.Register(ctx, m, registrar, instance)
//
// registers now, and deregisters in [shutdown.Leave], the first phase of the
// shutdown, while the service still serves.
//
// # Registries
//
// A [Registrar] is two methods. Packages discovery/etcd and discovery/consul,
// modules of their own, have one each. The registrars of go-kratos (Consul,
// etcd, Nacos, ZooKeeper, Eureka, ...) are Registrars as they are:
//
//	err := discovery.Register(ctx, m, kratosetcd.New(client), &registry.ServiceInstance{...})
//
// Not all of those may be called for two instances at the same time, and the
// hooks of Leave run at the same time: give each instance a registrar of its
// own, or one instance all endpoints.
//
// # How long to serve on
//
// A client that watches the registry hears of the removal at once; one that
// polls hears of it at its next poll, and one that caches DNS when that has
// expired. Until then it sends requests, which are answered only for as long as
// the service serves on. Outside of Kubernetes that is not at all, unless
// [shutdown.Config] says so:
//
//	shutdown.Config{LameDuck: 300 * time.Millisecond} // clients poll every 50 ms
//
// Make it longer than a client goes without looking; a few times the interval
// leaves room for a poll that is slow. Without a lame duck even a service that
// leaves first loses requests.
//
// Nobody hears of a removal that the registry has not made. If that takes longer
// than half of the lame duck, because the registry is slow or has failed for a
// while, the service serves on for another half after it, as long as the phase
// lasts.
//
// What fails is tried again until the phase ends, which takes until half of the
// time that Drain may use is over, if that is longer than the lame duck. It is
// then recorded as a failed hook, and the shutdown goes on.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// A Registrar makes an instance of a service known, and forgets it. The context
// bounds the call, and nothing else: what keeps the entry alive after Register
// must not end with it.
//
// For one instance Deregister is never called while Register runs, nor two
// calls of the same method at the same time. Deregister may be called again,
// after an error, and without an instance being registered, because a Register
// that reported an error may have had its effect nevertheless: it returns nil
// if in the end there is no entry. It has to stop, and wait for, whatever could
// register the instance again.
type Registrar[I any] interface {
	Register(ctx context.Context, instance I) error
	Deregister(ctx context.Context, instance I) error
}

// Register registers instance with r now, and has m deregister it in
// [shutdown.Leave]. It blocks until r has registered the instance, or until ctx
// ends (and up to a second longer, for r to notice that), or until the shutdown
// begins; it tries once. The hook's name in logs and the Report is the type of
// r, and what instance calls itself if it is a fmt.Stringer.
//
// An error means that the instance is not registered. What r may have done
// before it failed, panicked or was given up is taken back: r.Deregister is
// called for up to 2 s, and if that fails as well the error says so. A
// r.Register that ignores its context is taken back when it returns.
//
// Register and Deregister never cross. A shutdown that begins meanwhile gives
// r.Register a second to finish, then cancels it, waits until it has returned,
// and deregisters. After the beginning of the shutdown Register returns an
// error, and registers nothing.
//
// Deregistration is tried again, 50 ms to 1 s after each failure, until the
// phase ends. One attempt may use half of the time that is left, or a second,
// so that one that hangs on a dead connection leaves time for the next. If none
// succeeds that is a *shutdown.HookError, and stops nothing else.
//
// Each call registers: call it once for each instance, when the instance is
// ready to serve. To discovery/etcd and discovery/consul a second one for the
// same instance is an error, and takes the first back as well.
func Register[I any](ctx context.Context, m *shutdown.Manager, r Registrar[I], instance I) error {
	if any(r) == nil {
		return errors.New("discovery: register: the Registrar is nil")
	}
	name := nameOf(r, instance)
	if m.Phase() != shutdown.Running {
		return begun(m, name)
	}
	if ctx.Err() != nil { // not every Registrar would ask
		return fmt.Errorf("discovery: register %s: %w", name, context.Cause(ctx))
	}
	callCtx, cancel := context.WithCancelCause(ctx)
	g := &registration[I]{r: r, instance: instance, name: name, cancel: cancel, ended: make(chan struct{})}
	g.remove = m.On(shutdown.Leave, name, func(ctx context.Context) error { return g.leave(ctx, m) })
	go g.run(callCtx, m)

	select {
	case <-g.ended:
	case <-ctx.Done():
		if err := g.giveUp(ctx, m); err != nil {
			return err
		}
	case <-m.AcceptContext().Done():
	}
	select {
	case <-g.ended:
		if g.err != nil {
			return g.err
		}
	default:
	}
	if m.Phase() != shutdown.Running {
		return begun(m, name) // the Leave hook takes it back
	}
	return nil
}

// giveUp waits a moment longer for a registration whose context has ended. An
// error means that it has not returned.
func (g *registration[I]) giveUp(ctx context.Context, m *shutdown.Manager) error {
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-g.ended:
	case <-m.AcceptContext().Done():
	case <-timer.C:
		if g.abandon() {
			return fmt.Errorf("discovery: register %s: it ignores its context, and is taken back when it returns: %w", g.name, context.Cause(ctx))
		}
		<-g.ended
	}
	return nil
}

func begun(m *shutdown.Manager, name string) error {
	<-m.AcceptContext().Done() // it is about to be
	return fmt.Errorf("discovery: register %s: the shutdown has begun: %w", name, context.Cause(m.AcceptContext()))
}

// nameOf is what logs call the registration: "etcd.Registrar /orders/1".
func nameOf(r, instance any) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", r), "*")
	if s, ok := instance.(fmt.Stringer); ok {
		name += " " + fmt.Sprint(s) // which survives a String that panics
	}
	return name
}
