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

// searchers search at the same time. Each begins a little after the one before,
// so that there is always a search that has only begun.
const searchers = 8

// An outcome is what the demonstration has shown.
type outcome struct {
	tally
	health []string      // what server 1 said of itself, in order
	took   time.Duration // from its SIGTERM to its exit
	exits  [2]int        // the servers' exit codes
}

func (o outcome) String() string {
	return fmt.Sprintf("%v\nServer 1 was %s, and gone %v after its SIGTERM. Exit codes: %d, %d.",
		o.tally, strings.Join(o.health, ", then "), o.took.Round(time.Millisecond), o.exits[0], o.exits[1])
}

// demo has server 2 take over from server 1 while a client chats and searches.
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
	waitFor(ctx, c.joined) // server 1, the only one that it knows
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

// waitFor returns when something has happened, or ctx has ended.
func waitFor(ctx context.Context, happened <-chan struct{}) {
	select {
	case <-happened:
	case <-ctx.Done():
	}
}

// watch returns what the health service of a server has said when the server
// has ended, or ctx. Each time that is one for says.
func watch(ctx context.Context, out *output, p *process, says chan<- struct{}) (said []string) {
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil // and that is seen
	}
	defer func() { _ = conn.Close() }()
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return nil
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return said
		}
		said = append(said, resp.GetStatus().String())
		out.line("health", fmt.Sprintf("%s is %v", p.name, resp.GetStatus()))
		select {
		case says <- struct{}{}:
		default: // nobody waits for it
		}
	}
}
