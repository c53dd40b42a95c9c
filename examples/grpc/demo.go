package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// searchers is how many searches run at the same time. They start one after another, so
// that there is always one that has just started.
const searchers = 8

// An outcome is the result of the demonstration.
type outcome struct {
	tally
	health []string      // the states that server 1 has reported, in order
	took   time.Duration // from the SIGTERM of server 1 to its exit
	exits  [2]int        // the servers' exit codes
}

func (o outcome) String() string {
	return fmt.Sprintf("%v\nServer 1 was %s, and exited %v after its SIGTERM. Exit codes: %d, %d.",
		o.tally, strings.Join(o.health, ", then "), o.took.Round(time.Millisecond), o.exits[0], o.exits[1])
}

// demo replaces server 1 by server 2 while a client chats and searches.
func demo(ctx context.Context, w io.Writer, silent bool) (o outcome, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	out := &output{w: w}
	var servers [2]*process
	for i := range servers {
		servers[i], err = startServer(ctx, out, fmt.Sprintf("server %d", i+1), silent)
		if err != nil {
			return o, err
		}
		defer servers[i].end()
	}
	first, second := servers[0], servers[1]

	c, err := newClient(func(text string) { out.line("client", text) }, first.addr)
	if err != nil {
		return o, err
	}
	defer func() { _ = c.conn.Close() }()
	going, stop := context.WithCancel(ctx)
	defer stop()
	clients.Go(func() { c.chat(going, ctx) })
	waitFor(ctx, c.joined) // server 1, the only one that the client knows
	c.servers.UpdateState(addresses(first.addr, second.addr))
	for range searchers {
		clients.Go(func() { c.search(going, ctx) })
		sleep(ctx, searching/searchers)
	}
	serving, watched := make(chan struct{}, 2), make(chan []string, 1)
	go func() { watched <- watch(ctx, out, first, serving) }()
	waitFor(ctx, serving)
	sleep(ctx, time.Second)

	out.line("demo", "SIGTERM to server 1")
	begun := time.Now()
	o.exits[0] = first.end()
	o.took = time.Since(begun)
	o.health = <-watched
	waitFor(ctx, c.joined) // server 2
	sleep(ctx, time.Second)
	stop()
	clients.Wait()
	out.line("demo", "SIGTERM to server 2")
	o.exits[1] = second.end()
	o.tally = c.tally
	return o, context.Cause(ctx)
}

// waitFor returns when there is an event or ctx ends.
func waitFor(ctx context.Context, event <-chan struct{}) {
	select {
	case <-event:
	case <-ctx.Done():
	}
}

// watch watches the health service of a server until the server or ctx ends. It returns
// the states that the service has reported, and sends a token to reports for each.
func watch(ctx context.Context, out *output, p *process, reports chan<- struct{}) (states []string) {
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil // the outcome shows it
	}
	defer func() { _ = conn.Close() }()
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return nil
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return states
		}
		states = append(states, resp.GetStatus().String())
		out.line("health", fmt.Sprintf("%s is %v", p.name, resp.GetStatus()))
		select {
		case reports <- struct{}{}:
		default: // only the first two matter
		}
	}
}
