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
	// What a registration under way has, when the shutdown begins, to finish by
	// itself: one that is cut off may take effect in the registry at any time,
	// also after the deregistration.
	moment = time.Second
	// What taking back has where no phase says how long.
	takeBackTime = 2 * time.Second

	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
	minAttempt = time.Second
)

// A registration is one instance with one Registrar. Its goroutine, in run,
// owns it until ended is closed; from then on the Leave hook does.
type registration[I any] struct {
	r        Registrar[I]
	instance I
	name     string
	cancel   context.CancelCauseFunc // of r.Register's context
	remove   func() bool             // takes the Leave hook out
	state    atomic.Int32            // how r.Register ended
	ended    chan struct{}           // closed at the end of run

	// Written before ended is closed.
	err   error // what Register returns
	there bool  // an entry may be in the registry, and is the hook's to remove
}

const (
	registering int32 = iota
	registered
	abandoned // nobody waits for it any more
)

// abandon gives up waiting for r.Register. It returns false if that has just
// succeeded: then ended is about to be closed.
func (g *registration[I]) abandon() bool {
	return g.state.CompareAndSwap(registering, abandoned) || g.state.Load() == abandoned
}

// run registers, and takes back what failed or what nobody waits for.
func (g *registration[I]) run(ctx context.Context, m *shutdown.Manager) {
	defer close(g.ended)
	defer g.cancel(nil)
	if m.Phase() != shutdown.Running {
		return // between the hook and here: nothing has been done
	}
	returned := false
	defer func() {
		if !returned { // runtime.Goexit, and no more calls from this goroutine
			g.there, g.err = true, fmt.Errorf("discovery: register %s: runtime.Goexit was called", g.name)
		}
	}()
	err := safely(func() error { return g.r.Register(ctx, g.instance) })
	if err != nil {
		g.err = fmt.Errorf("discovery: register %s: %w", g.name, clip.Error(err))
	} else if g.state.CompareAndSwap(registering, registered) {
		g.there, returned = true, true
		return
	}
	backCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	back := safely(func() error { return g.deregister(backCtx) })
	// The hook stays as long as the taking back is under way, so that a
	// shutdown waits for it. If it is running by now, it tries again. Otherwise
	// an entry that is certain stays its business, and one that is not does not
	// hold up the end of a program that could not even start.
	g.there = back != nil && err == nil
	if !g.there && !g.remove() {
		g.there = back != nil
	}
	if back != nil {
		g.err = errors.Join(g.err, fmt.Errorf("discovery: taking back %s: %w", g.name, clip.Error(back)))
	}
	returned = true
}

// leave is the hook.
func (g *registration[I]) leave(ctx context.Context, m *shutdown.Manager) error {
	wait := moment
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	defer time.AfterFunc(wait, func() { g.cancel(errBegun) }).Stop()
	select {
	case <-g.ended:
	case <-ctx.Done():
		if g.abandon() {
			return fmt.Errorf("discovery: the registration under way has not ended, and is taken back when it does: %w", context.Cause(ctx))
		}
		<-g.ended
	}
	if !g.there {
		return nil
	}
	if err := g.deregister(ctx); err != nil {
		return err
	}
	now := m.Report()
	serveOn(ctx, time.Since(now.Begun), now.LameDuck)
	return nil
}

// serveOn waits if the deregistration took so long that less than half of the
// lame duck is left for clients to hear of it.
func serveOn(ctx context.Context, took, lameDuck time.Duration) {
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
		if ctx.Err() == nil || last == nil { // being cut off says less than what was wrong before
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

// safely turns a panic of f into an error, because here it would end the
// program without a single hook.
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
