//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// An instance is a service that is restarted on the same addresses.
type instance struct {
	Addr      string // of the service
	AdminPort string // of /readyz and /served, on the same host
	admin     string // the address with that port
	role      string
	lameDuck  time.Duration
	child     *child.Process
}

func newInstance(s setup) (*instance, error) {
	// They stay free, also while the instance is restarted.
	addrs, err := loopback.FreeAddrs(2)
	if err != nil {
		return nil, err
	}
	_, adminPort, err := net.SplitHostPort(addrs[1])
	if err != nil {
		return nil, err
	}
	return &instance{Addr: addrs[0], AdminPort: adminPort, admin: addrs[1], role: s.service, lameDuck: s.lameDuck}, nil
}

// start starts the instance and waits until it is ready. The end of ctx kills it.
func (i *instance) start(ctx context.Context) (err error) {
	i.child, err = child.Start(ctx, i.role, i.Addr, i.admin, i.lameDuck.String())
	if err != nil {
		return err
	}
	if err := i.get(ctx, "/readyz", func(string) bool { return true }); err != nil {
		return errors.Join(err, i.stop())
	}
	return nil
}

// stop sends SIGTERM and waits for the end. It does nothing if the instance has been
// stopped, or has not started.
func (i *instance) stop() error {
	c := i.child
	if c == nil {
		return nil
	}
	i.child = nil
	return errors.Join(c.Process.Signal(syscall.SIGTERM), c.Wait())
}

// servesAgain waits until the proxy has sent a request.
func (i *instance) servesAgain(ctx context.Context) error {
	return i.get(ctx, "/served", func(n string) bool { return n != "0" })
}

// get requests a path until the answer is 200 with a body that will do.
func (i *instance) get(ctx context.Context, path string, willDo func(body string) bool) error {
	return poll(ctx, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.admin+path, nil)
		if err != nil {
			return false
		}
		body, ok := answer(req)
		return ok && willDo(body)
	})
}

// patience is how long an instance or a proxy may take until it does what is expected. It
// is longer than the fail_timeout of nginx, 10 s.
const patience = 30 * time.Second

// poll waits until done returns true.
func poll(ctx context.Context, done func(context.Context) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it has not happened within %v", patience))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

var oneRequest = http.Transport{DisableKeepAlives: true}

// answer sends a request and returns the answer, and whether its status is 200.
func answer(req *http.Request) (body string, ok bool) {
	resp, err := oneRequest.RoundTrip(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err == nil && resp.StatusCode == http.StatusOK
}
