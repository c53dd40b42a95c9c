package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
	"github.com/gracefulgo/shutdown/internal/load"
)

// A mode is how the clients of a load call the service.
type mode struct {
	name  string
	grpc  bool
	start func(ctx context.Context, addr string, n int) (clients, error)
}

var modes = []mode{
	httpMode(load.NewConn),
	httpMode(load.KeepAlive),
	httpMode(load.HTTP2),
	{"gRPC, new connections", true, rpcMode(true)},
	{"gRPC, one connection", true, rpcMode(false)},
}

func httpMode(m load.Mode) mode {
	return mode{m.String(), false, func(ctx context.Context, addr string, n int) (clients, error) {
		return load.Clients{Mode: m, N: n, Addr: addr}.Start(ctx), nil
	}}
}

func rpcMode(perCall bool) func(context.Context, string, int) (clients, error) {
	return func(ctx context.Context, addr string, n int) (clients, error) {
		return startRPCLoad(ctx, addr, perCall, n)
	}
}

// offers reports whether the peer can serve the mode.
func (p *peer) offers(m *mode) bool {
	return p.grpc == m.grpc && (p.http2 || m.name != load.HTTP2.String())
}

// loads has the results of the rounds of one peer in one mode.
type loads struct {
	peer *peer
	mode *mode
	load.Result
	rounds int
	exits  []time.Duration // from the last reply to the exit
	never  int             // rounds in which the peer had to be killed
	codes  map[string]int  // exit codes
}

// round shuts a peer down under load, and adds the result.
func (b *bench) round(ctx context.Context, l *loads) error {
	i, err := b.start(ctx, l.peer, service.Service{})
	if err != nil {
		return err
	}
	if err := i.awaitServing(ctx); err != nil {
		return i.abort(err)
	}
	serving, gone := context.WithCancel(context.Background())
	defer gone()
	run, err := l.mode.start(serving, i.addr, b.clients)
	if err != nil {
		return i.abort(err)
	}
	warming, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("there are none after %v", startLimit))
	defer cancel()
	err = run.Warm(warming, 3)
	if err == nil {
		time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond))
		err = i.signal(syscall.SIGTERM)
	}
	if err != nil {
		err = i.abort(err)
		gone()
		run.Wait()
		return err
	}
	exit, _, _ := i.wait(time.Now(), 0)
	// A client whose SYN was dropped at the end would wait one second until its kernel
	// repeats it, and then be refused.
	gone()
	result := run.Wait()
	l.Add(result)
	l.rounds++
	l.codes[exit.String()]++
	if exit.never {
		l.never++
	}
	l.exits = append(l.exits, max(0, i.ended.Sub(result.LastReply)))
	return nil
}
