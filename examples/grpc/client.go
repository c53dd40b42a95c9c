package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets the client watch the health services of the servers
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/gracefulgo/shutdown/examples/grpc/chat"
)

// The client sends RPCs to healthy servers, and none to one that reports NOT_SERVING. If
// there is no healthy server, an RPC waits for one instead of failing.
const serviceConfig = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"healthCheckConfig": {"serviceName": ""},
	"methodConfig": [{"name": [{}], "waitForReady": true}]
}`

// A client chats and searches at the same time.
type client struct {
	conn    *grpc.ClientConn
	servers *manual.Resolver // stands for service discovery
	log     func(text string)

	mu     sync.Mutex // protects tally
	tally  tally
	joined chan struct{} // a token for each chat whose first line has been received
}

// A tally counts what a client did and the outcome.
type tally struct {
	sent, received       int // lines
	asked, brokenOff     int // how often the server asked to leave the chat, or the chat broke off
	searches, unanswered int
}

func newClient(log func(string), addr string) (*client, error) {
	c := &client{servers: manual.NewBuilderWithScheme("chat"), log: log, joined: make(chan struct{}, 100)}
	c.servers.InitialState(addresses(addr))
	var err error
	c.conn, err = grpc.NewClient("chat:///", grpc.WithResolvers(c.servers),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	return c, err
}

func addresses(addrs ...string) (s resolver.State) {
	for _, addr := range addrs {
		s.Addresses = append(s.Addresses, resolver.Address{Addr: addr})
	}
	return s
}

// chat takes part in the chat until accept ends. When a server asks it to leave, it joins
// the chat of a healthy server. The end of accept does not cancel an RPC, here and in
// search, but the end of work does.
func (c *client) chat(accept, work context.Context) {
	for accept.Err() == nil {
		if err := c.join(accept, work); err != nil {
			c.count(func(t *tally) { t.brokenOff++ })
			c.log(fmt.Sprintf("the chat broke off: %v", err))
		}
		// All clients of a server are asked to leave at the same time, but should not
		// reconnect at the same time.
		sleep(accept, rand.N(200*time.Millisecond))
	}
}

// join is one stream. It sends a line from time to time, and half-closes the stream when
// the server asks it to leave or accept ends. It returns nil if the stream has ended
// without an error; then the server has received every line.
func (c *client) join(accept, work context.Context) error {
	stream, err := chat.NewChatClient(c.conn).Join(work)
	if err != nil {
		return err
	}
	talking, leave := context.WithCancel(accept)
	var talker sync.WaitGroup
	talker.Go(func() { c.talk(talking, stream) })
	defer talker.Wait()
	defer leave()
	received := false
	for first := true; ; first = false {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			c.log("the chat ended with io.EOF")
			return nil
		}
		if err != nil {
			return err
		}
		if from, ok := peer.FromContext(stream.Context()); ok && first {
			c.log(fmt.Sprintf("joined the chat at %v", from.Addr))
		}
		if event.GetClosing() {
			c.count(func(t *tally) { t.asked++ })
			c.log("the server asks its clients to leave")
			leave()
			continue
		}
		c.count(func(t *tally) { t.received++ })
		if !received {
			received = true
			c.joined <- struct{}{}
		}
	}
}

func (c *client) talk(ctx context.Context, stream grpc.BidiStreamingClient[chat.Line, chat.Event]) {
	for n := 1; ctx.Err() == nil; n++ {
		if err := stream.Send(&chat.Line{Text: fmt.Sprintf("line %d", n)}); err != nil {
			return // Recv returns the reason
		}
		c.count(func(t *tally) { t.sent++ })
		sleep(ctx, 10*time.Millisecond)
	}
	_ = stream.CloseSend() // always returns nil
}

// search repeats searches until accept ends.
func (c *client) search(accept, work context.Context) {
	for accept.Err() == nil {
		c.count(func(t *tally) { t.searches++ })
		_, err := chat.NewChatClient(c.conn).Search(work, &chat.SearchRequest{Text: "line"})
		if err != nil {
			c.count(func(t *tally) { t.unanswered++ })
			c.log(fmt.Sprintf("a search failed: %v", err))
			sleep(accept, 100*time.Millisecond)
		}
	}
}

func (c *client) count(change func(*tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.tally)
}

func (t tally) String() string {
	return fmt.Sprintf("Lines sent %d, received %d; searches %d, without an answer %d; asked to leave %d, chats broken off %d.",
		t.sent, t.received, t.searches, t.unanswered, t.asked, t.brokenOff)
}

// sleep returns after d or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
