//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// startUp is how long a stopped instance is away, like a program that takes this long to
// start.
const startUp = 500 * time.Millisecond

// pause is the time between a response and the client's next request. Without it, errors,
// which come at once, would be counted more often than responses.
const pause = 5 * time.Millisecond

// restartLimit bounds a restart. One takes 1 to 14 s.
const restartLimit = time.Minute

// run restarts the instances of a setup in turn, under load. An error means that there is
// no result.
func (p plan) run(ctx context.Context, s setup) (result load.Result, err error) {
	limit := time.Duration(p.restarts+2) * restartLimit
	ctx, kill := context.WithTimeoutCause(ctx, limit, fmt.Errorf("killed: it had not ended after %v", limit))
	defer kill()

	var instances [2]*instance
	for n := range instances {
		if instances[n], err = newInstance(s); err != nil {
			return load.Result{}, err
		}
		if err = instances[n].start(ctx); err != nil {
			return load.Result{}, err
		}
		defer func() { err = errors.Join(err, instances[n].stop()) }()
	}
	dir, err := os.MkdirTemp("", "proxies")
	if err != nil {
		return load.Result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	proxy, err := s.start(ctx, dir, instances[:])
	if err != nil {
		return load.Result{}, err
	}
	defer func() { err = errors.Join(err, proxy.stop()) }()

	loading, end := context.WithCancel(context.Background())
	clients := load.Clients{Mode: load.KeepAlive, N: p.clients, Addr: proxy.addr, Pause: pause}.Start(loading)
	err = clients.Warm(ctx, 3)
	for n := 0; n < p.restarts && err == nil; n++ {
		err = instances[n%2].restart(ctx, s.early)
	}
	end()
	result = clients.Wait()
	if result.Refused > 0 {
		err = errors.Join(err, errors.New("the proxy refused connections"))
	}
	return result, err
}

// restart stops the instance and starts it again. It returns when the proxy sends
// requests to the instance or, if early, when the instance is ready.
func (i *instance) restart(ctx context.Context, early bool) error {
	time.Sleep(rand.N(checkInterval)) // not in step with the health checks
	if err := i.stop(); err != nil {
		return err
	}
	time.Sleep(startUp)
	if err := i.start(ctx); err != nil || early {
		return err
	}
	return i.servesAgain(ctx)
}
