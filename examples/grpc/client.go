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
	_ "google.golang.org/grpc/health" // lets a client see what the servers' health services say
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/gracefulgo/shutdown/examples/grpc/chat"
)

// A healthy server gets the next RPC, one that says NOT_SERVING gets none, and
// where there is no healthy one an RPC waits for it instead of failing.
const serviceConfig = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"healthCheckConfig": {"serviceName": ""},
	"methodConfig": [{"name": [{}], "waitForReady": true}]
}`

// A client chats and searches at the same time, until it is told to stop.
type client struct {
	conn    *grpc.ClientConn
	servers *manual.Resolver // stands for a discovery service
	log     func(text string)

	mu     sync.Mutex // protects tally
	tally  tally
	joined chan struct{} // gets one when the first line of a chat has been heard
}

// A tally is what became of what a client did.
type tally struct {
	said, heard          int // lines
	goodbyes, brokenOff  int // of the chat
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

// chat takes part in the chat until accept ends. When a server says good-bye it
// joins again, wherever it is let in. The end of accept cuts no RPC off, here
// and in search, but the end of work does.
func (c *client) chat(accept, work context.Context) {
	for accept.Err() == nil {
		if err := c.join(accept, work); err != nil {
			c.count(func(t *tally) { t.brokenOff++ })
			c.log(fmt.Sprintf("the chat broke off: %v", err))
		}
		// All clients of a server hear the good-bye at the same time, and
		// should not come back at the same time.
		sleep(accept, rand.N(200*time.Millisecond))
	}
}

// join is one stream. It says a line every now and then, and hangs up when the
// server says good-bye or accept ends. It returns nil if the stream has ended as
// agreed: then everything that it said has been heard.
func (c *client) join(accept, work context.Context) error {
	stream, err := chat.NewChatClient(c.conn).Join(work)
	if err != nil {
		return err
	}
	talk, hangUp := context.WithCancel(accept)
	var talking sync.WaitGroup
	talking.Go(func() { c.talk(talk, stream) })
	defer talking.Wait()
	defer hangUp()
	heard := false
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
		if event.GetGoodbye() {
			c.count(func(t *tally) { t.goodbyes++ })
			c.log("the server says good-bye")
			hangUp()
			continue
		}
		c.count(func(t *tally) { t.heard++ })
		if !heard {
			heard = true
			c.joined <- struct{}{}
		}
	}
}

func (c *client) talk(ctx context.Context, stream grpc.BidiStreamingClient[chat.Line, chat.Event]) {
	for n := 1; ctx.Err() == nil; n++ {
		if err := stream.Send(&chat.Line{Text: fmt.Sprintf("line %d", n)}); err != nil {
			return // Recv says why
		}
		c.count(func(t *tally) { t.said++ })
		sleep(ctx, 10*time.Millisecond)
	}
	_ = stream.CloseSend() // never an error
}

// search searches, again and again, until accept ends.
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
	return fmt.Sprintf("Lines said %d, heard %d; searches %d, without an answer %d; good-byes %d, chats broken off %d.",
		t.said, t.heard, t.searches, t.unanswered, t.goodbyes, t.brokenOff)
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
