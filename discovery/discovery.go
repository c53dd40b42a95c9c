// Package discovery registers a service instance in a registry, and deregisters it
// when the graceful shutdown begins, while the service still serves requests:
//
//	err := discovery.Register(ctx, m, registrar, instance)
//
// [Register] registers at once, and adds a hook to [shutdown.Leave], the first phase
// of the shutdown, that deregisters. So clients stop sending requests before the
// port closes.
//
// # Registries
//
// A [Registrar] has two methods. The modules discovery/etcd and discovery/consul
// have one each, and the registrars of go-kratos (Consul, etcd, Nacos, ZooKeeper,
// Eureka and others) can be used as they are:
//
//	err := discovery.Register(ctx, m, kratosetcd.New(client), &registry.ServiceInstance{...})
//
// Not all of those can be used for two instances at the same time, which is when the
// hooks of Leave run. Use a registrar of its own for each instance, or one instance
// with all endpoints.
//
// [KeepAlive] helps to write a Registrar for another registry, if that removes
// entries that are not renewed.
//
// # How long to keep serving
//
// A client that watches the registry learns of the removal at once, a client that
// polls with its next poll, and a client that caches DNS records when they expire.
// Until then it sends requests to the instance. The service answers them during the
// lame duck, which outside of Kubernetes is zero unless [shutdown.Config] sets it:
//
//	shutdown.Config{LameDuck: 300 * time.Millisecond} // clients poll every 50 ms
//
// Make the lame duck a few times as long as the clients' polling interval, because a
// poll may be slow. Without a lame duck a service loses requests even if it
// deregisters first.
//
// If the deregistration takes longer than half of the lame duck, because the
// registry is slow or fails for a while, the service keeps serving for another half
// of the lame duck after it, or until the phase ends.
//
// # Failures
//
// A deregistration that fails is repeated until the Leave phase ends. The phase lasts
// until half of the time until the end of Drain is over, or as long as the lame duck if
// that is longer. The failure is then reported as that of a hook, and the shutdown
// continues.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// A Registrar registers service instances in a registry and deregisters them. The
// context limits the call only: what keeps the entry alive after Register must not
// stop when the context ends.
//
// For one instance, Deregister is not called while Register runs, and no two calls
// of the same method run at the same time.
//
// Deregister may be called again after an error, and also for an instance that is
// not registered, because a Register that returned an error may have written the
// entry. It returns nil if there is no entry in the end. It must stop everything that
// could register the instance again, and wait until that has stopped.
type Registrar[I any] interface {
	Register(ctx context.Context, instance I) error
	Deregister(ctx context.Context, instance I) error
}

// Register registers instance with r, and adds a hook to m that deregisters it in
// [shutdown.Leave]. It calls r.Register once. It blocks until that has returned, or
// until ctx ends (and for up to another second, so that r can notice), or until the
// shutdown begins. The hook's name in logs and the Report is the type of r, followed
// by instance.String() if there is such a method.
//
// An error means that the instance is not registered. If r.Register fails, panics or
// is given up, Register calls r.Deregister for up to 2 s, in case there is an entry;
// if that fails too the error says so. If r.Register ignores the end of its context,
// r.Deregister is called when it returns.
//
// After the shutdown has begun Register registers nothing and returns an error. If
// the shutdown begins during Register, the hook gives r.Register a second to finish,
// then cancels its context, waits until it has returned, and deregisters.
//
// The hook repeats a deregistration that fails, after pauses of 50 ms to 1 s, until
// the phase ends. One attempt may use half of the time that is left, but at least a
// second, so that one that hangs on a dead connection leaves time for another. If
// none succeeds the error of Wait has a *shutdown.HookError, and the shutdown
// continues.
//
// Call Register once for each instance, when the instance is ready to serve. With
// discovery/etcd and discovery/consul a second call for the same instance is an error,
// and removes the first registration as well.
func Register[I any](ctx context.Context, m *shutdown.Manager, r Registrar[I], instance I) error {
	if any(r) == nil {
		return errors.New("discovery: register: the Registrar is nil")
	}
	name := nameOf(r, instance)
	if m.Phase() != shutdown.Running {
		return shutdownHasBegun(m, name)
	}
	if ctx.Err() != nil { // a Registrar may ignore it
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
		return shutdownHasBegun(m, name) // the hook deregisters
	}
	return nil
}

// giveUp waits a little longer for r.Register after its context has ended. It
// returns an error if r.Register has not returned then.
func (g *registration[I]) giveUp(ctx context.Context, m *shutdown.Manager) error {
	timer := time.NewTimer(finishTime)
	defer timer.Stop()
	select {
	case <-g.ended:
	case <-m.AcceptContext().Done():
	case <-timer.C:
		if g.abandon() {
			return fmt.Errorf("discovery: register %s: the Registrar ignores its context, and is rolled back when it returns: %w", g.name, context.Cause(ctx))
		}
		<-g.ended
	}
	return nil
}

func shutdownHasBegun(m *shutdown.Manager, name string) error {
	<-m.AcceptContext().Done() // it ends soon after the phase has changed
	return fmt.Errorf("discovery: register %s: the shutdown has begun: %w", name, context.Cause(m.AcceptContext()))
}

// nameOf returns the name of the hook, such as "etcd.Registrar /orders/1".
func nameOf(r, instance any) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", r), "*")
	if s, ok := instance.(fmt.Stringer); ok {
		name += " " + fmt.Sprint(s) // Sprint survives a String method that panics
	}
	return name
}
