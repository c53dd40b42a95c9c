// Package load hammers an HTTP server from many clients and accounts for every
// request, so that a shutdown can be judged by what it lost.
//
// The clients are closed loops: each sends its next request when the last one
// has been answered. A request is a POST whose body cannot be sent a second
// time, so net/http has no way to hide a loss by a retry. Its answer counts only
// if it is the body, or begins and ends with the body, so that an answer which
// was cut off never passes for a complete one.
//
// A request is lost if it had a connection, or its dial ended in anything but a
// refusal, and no full and right answer came. A refused dial is no loss: it
// tells the client, before anything was sent, that the server has gone. It is
// also where a client ends. A dial that was reset is a loss of a kind of its
// own, [DialReset].
package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is how clients use connections.
type Mode int

// The modes.
const (
	NewConn     Mode = iota // a new connection for each request
	KeepAlive               // a connection a client, used again and again
	HTTP2                   // an HTTP/2 connection a client, one request at a time
	HTTP2Shared             // clients are streams of the same HTTP/2 connection
)

func (m Mode) String() string {
	switch m {
	case NewConn:
		return "new connections"
	case KeepAlive:
		return "keep-alive"
	case HTTP2:
		return "HTTP/2"
	case HTTP2Shared:
		return "HTTP/2 shared"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Clients says who calls what. Without TLS, HTTP/2 is spoken in clear text with
// prior knowledge; the server needs UnencryptedHTTP2 in its Protocols.
type Clients struct {
	Mode    Mode
	N       int           // how many clients; 0 means 32
	Addr    string        // the server's host:port
	Paths   []string      // client i calls number i modulo their count; the handlers answer 200 and the body; none means "/"
	Timeout time.Duration // for a dial, and then for the answer; 0 means 10 s
	Pause   time.Duration // of a client, between an answer and its next request
	Streams int           // with HTTP2Shared: how many clients share a connection; 0 means all
	TLS     *tls.Config   // nil means clear text

	// Gone is the status by which a proxy in front says that its own dial was
	// refused. To a client it is what a refused dial is. 0 means none.
	Gone int
}

// Run is a load under way.
type Run struct {
	clients []*client
	done    chan struct{} // closed when result is complete
	pace    pace
	marked  atomic.Int64 // the time of Mark in Unix nanoseconds; 0 before
	heldUp  atomic.Int64 // dials
	result  Result
}

// Start starts the clients and returns at once. They go on until each has met a
// refused dial or ctx has ended. The end of ctx gives up dials that nobody
// answers, which lose nothing, but no request that has a connection: that is
// answered, or lost.
func (c Clients) Start(ctx context.Context) *Run {
	if c.N == 0 {
		c.N = 32
	}
	if len(c.Paths) == 0 {
		c.Paths = []string{"/"}
	}
	if c.Streams == 0 {
		c.Streams = c.N
	}
	scheme := "http://"
	if c.TLS != nil {
		scheme = "https://"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	r := &Run{done: make(chan struct{})}
	for id := range c.N {
		one := &client{
			id:      id,
			url:     scheme + c.Addr + c.Paths[id%len(c.Paths)],
			timeout: c.Timeout,
			pause:   c.Pause,
			gone:    c.Gone,
			run:     r,
			ended:   make(chan struct{}),
		}
		if c.Mode == HTTP2Shared && id%c.Streams > 0 {
			one.after = r.clients[id-id%c.Streams]
			one.transport = one.after.transport
		} else {
			one.transport = c.transport(ctx, r, &one.dialed)
		}
		r.clients = append(r.clients, one)
	}
	go func() {
		defer close(r.done)
		r.loop(ctx)
	}()
	return r
}

// Mark divides the requests: Result.Later counts those that begin from now on.
// Call it when the server is told to stop.
func (r *Run) Mark() { r.marked.Store(time.Now().UnixNano()) }

// Count returns how many requests have been answered so far.
func (r *Run) Count() int {
	n := 0
	for _, c := range r.clients {
		n += int(c.answered.Load())
	}
	return n
}

// Began returns how many clients have had a connection for a request.
func (r *Run) Began() int {
	n := 0
	for _, c := range r.clients {
		if c.conn.Load() != nil || c.answered.Load() > 0 {
			n++
		}
	}
	return n
}

// Lost returns how many requests have been lost so far.
func (r *Run) Lost() int {
	n := 0
	for _, c := range r.clients {
		n += int(c.lost.Load())
	}
	return n
}

// Warm waits until each client has had n answers. It returns an error if one of
// them ends before that, or ctx does. How slow they have been is forgotten.
func (r *Run) Warm(ctx context.Context, n int) error {
	for _, c := range r.clients {
		if err := c.warm(ctx, n); err != nil {
			return err
		}
	}
	r.pace.silence.forget()
	r.pace.slowest.forget()
	return nil
}

// Wait waits for all clients to end and returns what became of the requests.
// Connections stay open until then, also those of clients that have ended, as
// they do in the pool of a program that goes on. It may be called more than
// once.
func (r *Run) Wait() Result {
	<-r.done
	var sum Result
	sum.Add(r.result)
	return sum
}

func (r *Run) loop(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range r.clients {
		wg.Go(func() { c.loop(ctx) })
	}
	wg.Wait()
	for _, c := range r.clients {
		c.transport.CloseIdleConnections()
		r.result.Add(c.result)
	}
	r.result.HeldUp = int(r.heldUp.Load())
	r.result.Silence, r.result.Slowest = r.pace.silence.get(), r.pace.slowest.get()
}
