package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A KeepAlive keeps the entry of one instance alive in a registry that removes
// entries that are not renewed (etcd's leases, Consul's TTL checks, the sessions and
// heartbeats of others). It is for authors of a [Registrar], and does what that
// interface demands: Deregister waits until nothing can renew the entry or register
// the instance again.
//
// The zero value is ready to use. Do not copy a KeepAlive after the first use. Its
// methods may be called concurrently; a second call waits for the first, or until
// its context ends.
type KeepAlive struct {
	// Logger logs a warning when the registry has lost the entry or renewing it
	// fails, and a line when that succeeds again. Give it attributes that name the
	// entry. Nil means slog.Default().
	Logger *slog.Logger

	once sync.Once     // makes busy
	busy chan struct{} // a mutex that can be waited for with a context; protects what follows

	stopped     chan struct{} // closed when renewing has stopped; nil if the instance is not registered
	stopRenew   context.CancelFunc
	cutRegister context.CancelFunc
}

// cutAfter is how long Deregister waits for a call of register.
const cutAfter = 5 * time.Second

// Register calls register and, if that succeeds, keeps the entry alive until
// Deregister. It blocks until register has returned, and returns its error. It is
// an error if the instance is registered already.
//
// The function register writes the entry, and returns its TTL: the time after which
// the registry removes it if it is not renewed. The function renew is called after
// each third of the TTL, and after an error again in a sixth of the TTL, or in 1 s if
// that is less. If renew reports that the registry has lost the entry, register is
// called, and again after each error. These calls never run at the same time.
//
// Deregister cancels the context of renew at once. It gives a call of register half
// of its own time, but not more than 5 s, before it cancels that one's context,
// because a request that is cut off may still have an effect, after the
// deregistration. These contexts also have a timeout, which is the TTL, but at least
// 1 s for renew and 5 s for a repeated call of register.
func (k *KeepAlive) Register(ctx context.Context, register func(context.Context) (ttl time.Duration, err error), renew func(context.Context) (lost bool, err error)) error {
	if err := k.acquire(ctx); err != nil {
		return err
	}
	defer k.release()
	if k.stopped != nil {
		return errors.New("it is registered already")
	}
	r := &renewal{register: register, renew: renew, log: k.Logger}
	if r.log == nil {
		r.log = slog.Default()
	}
	if err := r.callRegister(ctx); err != nil {
		return err
	}
	var renewCtx, registerCtx context.Context
	renewCtx, k.stopRenew = context.WithCancel(context.Background())
	registerCtx, k.cutRegister = context.WithCancel(context.Background())
	stopped := make(chan struct{})
	k.stopped = stopped
	go func() {
		defer close(stopped)
		r.run(renewCtx, registerCtx)
	}()
	return nil
}

// Deregister stops renewing, waits until register and renew have returned, then
// calls deregister and returns its error. If ctx ends while it waits, it returns an
// error without calling deregister. It calls deregister also if the instance is not
// registered, because a Register that failed may have written the entry. After an
// error it may be called again. Unless another call is running, renewing stops even
// if ctx has ended or deregister fails.
func (k *KeepAlive) Deregister(ctx context.Context, deregister func(context.Context) error) error {
	if err := k.acquire(ctx); err != nil {
		return err
	}
	defer k.release()
	if err := k.stop(ctx); err != nil {
		return err
	}
	return deregister(ctx)
}

func (k *KeepAlive) acquire(ctx context.Context) error {
	k.once.Do(func() { k.busy = make(chan struct{}, 1) })
	select {
	case k.busy <- struct{}{}:
		return nil
	default: // with a ctx that has ended, select would choose at random, and Deregister might not stop renewing
	}
	select {
	case k.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another call: %w", context.Cause(ctx))
	}
}

func (k *KeepAlive) release() { <-k.busy }

func (k *KeepAlive) stop(ctx context.Context) error {
	if k.stopped == nil {
		return nil
	}
	k.stopRenew()
	wait := cutAfter
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	defer time.AfterFunc(wait, k.cutRegister).Stop()
	select {
	case <-k.stopped:
		k.cutRegister()
		k.stopped = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the renewal to stop: %w", context.Cause(ctx))
	}
}

// A renewal keeps one entry alive, on the goroutine of run.
type renewal struct {
	register func(context.Context) (time.Duration, error)
	renew    func(context.Context) (lost bool, err error)
	log      *slog.Logger
	ttl      time.Duration
	lost     bool // register has to be called until it succeeds
}

// run returns when renewCtx ends, and register and renew have returned.
func (r *renewal) run(renewCtx, registerCtx context.Context) {
	timer := time.NewTimer(r.ttl / 3)
	defer timer.Stop()
	for failing := false; ; {
		select {
		case <-timer.C:
		case <-renewCtx.Done():
			return
		}
		err := r.keepAlive(renewCtx, registerCtx)
		switch {
		case renewCtx.Err() != nil:
			return
		case err == nil && failing:
			r.log.Info("discovery: entry renewed again")
		case err != nil && !failing:
			r.log.Warn("discovery: entry not renewed", "error", clip.Text(fmt.Sprint(err))) // Sprint survives an Error that panics
		}
		failing = err != nil
		if failing {
			timer.Reset(min(r.ttl/6, time.Second))
		} else {
			timer.Reset(r.ttl / 3)
		}
	}
}

// keepAlive renews the entry once, or registers again.
func (r *renewal) keepAlive(renewCtx, registerCtx context.Context) error {
	if !r.lost {
		ctx, cancel := context.WithTimeout(renewCtx, max(r.ttl, time.Second))
		defer cancel()
		lost, err := r.renew(ctx)
		if !lost || renewCtx.Err() != nil {
			return err
		}
		r.lost = true
		r.log.Warn("discovery: entry lost, registering again")
	}
	ctx, cancel := context.WithTimeout(registerCtx, max(r.ttl, cutAfter))
	defer cancel()
	if err := r.callRegister(ctx); err != nil {
		return err
	}
	r.lost = false
	return nil
}

func (r *renewal) callRegister(ctx context.Context) error {
	ttl, err := r.register(ctx)
	if err == nil && ttl <= 0 {
		err = fmt.Errorf("the TTL is %v, and must be positive", ttl)
	}
	if err == nil {
		r.ttl = ttl
	}
	return err
}
