package discovery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/clip"
)

const (
	// finishTime is how long r.Register may still run when the shutdown begins or its
	// context ends: a request that is cut off may have an effect at any time, also
	// after the deregistration.
	finishTime = time.Second
	// rollbackTime limits the deregistration after a failed registration, before
	// the shutdown.
	rollbackTime = 2 * time.Second

	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
	minAttempt = time.Second
)

// A registration is one instance with one Registrar. It belongs to the goroutine of
// run until ended is closed, and then to the Leave hook.
type registration[I any] struct {
	r        Registrar[I]
	instance I
	name     string
	cancel   context.CancelCauseFunc // of r.Register's context
	remove   func() bool             // removes the Leave hook
	state    atomic.Int32            // registering, registered or abandoned
	ended    chan struct{}           // closed at the end of run

	// Written before ended is closed.
	err      error // returned by Register
	mayExist bool  // the registry may have an entry, and the hook has to deregister
}

const (
	registering int32 = iota
	registered
	abandoned // nothing waits for r.Register any more
)

// abandon gives up waiting for r.Register. It returns false if r.Register has just
// succeeded; then ended is about to be closed.
func (g *registration[I]) abandon() bool {
	return g.state.CompareAndSwap(registering, abandoned) || g.state.Load() == abandoned
}

// run registers, and deregisters if that failed or was abandoned.
func (g *registration[I]) run(ctx context.Context, m *shutdown.Manager) {
	defer close(g.ended)
	defer g.cancel(nil)
	if m.Phase() != shutdown.Running {
		return // the shutdown began after the hook was added, and nothing is registered
	}
	returned := false
	defer func() {
		if !returned { // runtime.Goexit, which lets this goroutine call nothing but deferred functions
			g.mayExist, g.err = true, fmt.Errorf("discovery: register %s: runtime.Goexit was called", g.name)
		}
	}()
	err := safely(func() error { return g.r.Register(ctx, g.instance) })
	if err != nil {
		g.err = fmt.Errorf("discovery: register %s: %w", g.name, clip.Error(err))
	} else if g.state.CompareAndSwap(registering, registered) {
		g.mayExist, returned = true, true
		return
	}
	rollbackCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	failed := safely(func() error { return g.deregister(rollbackCtx) })
	// The hook is removed only now, so that a shutdown that begins during the
	// rollback waits for it. If the rollback failed, a hook that has started by now
	// tries again. A hook that has not is kept only if the instance is certainly
	// registered: a program that could not even start should not be held up by an
	// entry that may not exist.
	g.mayExist = failed != nil && err == nil
	if !g.mayExist && !g.remove() {
		g.mayExist = failed != nil
	}
	if failed != nil {
		g.err = errors.Join(g.err, fmt.Errorf("discovery: roll back %s: %w", g.name, clip.Error(failed)))
	}
	returned = true
}

// leave is the Leave hook.
func (g *registration[I]) leave(ctx context.Context, m *shutdown.Manager) error {
	wait := finishTime
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	defer time.AfterFunc(wait, func() { g.cancel(errBegun) }).Stop()
	select {
	case <-g.ended:
	case <-ctx.Done():
		if g.abandon() {
			return fmt.Errorf("discovery: the registration has not returned, and is rolled back when it does: %w", context.Cause(ctx))
		}
		<-g.ended
	}
	if !g.mayExist {
		return nil
	}
	if err := g.deregister(ctx); err != nil {
		return err
	}
	now := m.Report()
	keepServing(ctx, time.Since(now.Begun), now.LameDuck)
	return nil
}

// keepServing waits if the deregistration took so long that clients have less than
// half of the lame duck to learn of it.
func keepServing(ctx context.Context, took, lameDuck time.Duration) {
	if took <= lameDuck/2 {
		return
	}
	timer := time.NewTimer(lameDuck / 2)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

var errBegun = errors.New("discovery: the shutdown has begun")

// deregister tries until it succeeds or ctx ends, and at least once.
func (g *registration[I]) deregister(ctx context.Context) error {
	var last error
	backoff := minBackoff
	for attempt := 1; ; attempt++ {
		err := g.attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // an error from before the end of ctx says more than that ctx has ended
			last = err
		}
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("discovery: deregister, attempt %d: %w", attempt, clip.Error(last))
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (g *registration[I]) attempt(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(deadline)/2, minAttempt))
		defer cancel()
	}
	return g.r.Deregister(ctx, g.instance)
}

// safely calls f and returns a panic as an error. Here a panic would end the program
// before a single hook has run.
func safely(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n\n%s", v, debug.Stack())
			if cause, ok := v.(error); ok {
				err = fmt.Errorf("panic: %w\n\n%s", cause, debug.Stack())
			}
		}
	}()
	return f()
}
