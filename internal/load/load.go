// Package load sends requests to an HTTP server from many clients and records the
// outcome of each, to count what a shutdown loses.
//
// Each client is a closed loop: it sends the next request when the last one has been
// answered. No request can be sent twice, so net/http cannot hide a loss with a retry. By
// default a request is a POST with a body of its own, and a response counts only if it is
// the body, or starts and ends with the body, so that a truncated response does not count.
// For servers that do something else there is [Request].
//
// A request is lost if it gets no complete and correct response although it had a
// connection or its dial was not refused. A refused dial is no loss: it tells the client
// that the server is gone before anything was sent. It ends the client, unless that is
// [Clients.Persistent]. A dial that was reset is a loss of its own kind, [DialReset].
package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Mode is how clients use connections.
type Mode int

// The modes.
const (
	NewConn     Mode = iota // a new connection for each request
	KeepAlive               // one connection per client
	HTTP2                   // one HTTP/2 connection per client, with one request at a time
	HTTP2Shared             // clients share an HTTP/2 connection, each with one stream
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

// ModeNamed returns the mode that a command line calls new, keepalive, http2 or http2shared.
func ModeNamed(name string) (Mode, error) {
	m, ok := map[string]Mode{"new": NewConn, "keepalive": KeepAlive, "http2": HTTP2, "http2shared": HTTP2Shared}[name]
	if !ok {
		return 0, fmt.Errorf("no mode %q; the modes are new, keepalive, http2 and http2shared", name)
	}
	return m, nil
}

// Clients is the configuration of a load. Without TLS, HTTP/2 is cleartext with prior
// knowledge; the server needs UnencryptedHTTP2 in its Protocols.
type Clients struct {
	Mode    Mode
	N       int           // number of clients; 0 means 32
	Addr    string        // the server's host:port
	Paths   []string      // client i uses path i modulo their number; the handlers answer 200 with the body; none means "/"
	Timeout time.Duration // of a dial, and then of the response; 0 means 10 s
	Pause   time.Duration // of a client, between a response and its next request
	Streams int           // with HTTP2Shared: number of clients that share a connection; 0 means all
	TLS     *tls.Config   // nil means no TLS
	Delay   time.Duration // of what is sent, and of what is received
	Request *Request      // nil means a POST whose body the handler returns

	// Gone is the status with which a proxy reports that its dial of the server was
	// refused. It counts as a refused dial. 0 means none.
	Gone int

	// Persistent clients count a refused dial and go on. Behind the address of a Service
	// another instance may answer. They need a Pause.
	Persistent bool
}

// A Run is a load in progress.
type Run struct {
	clients []*client
	done    chan struct{} // closed when result is complete
	pace    pace
	marked  atomic.Int64 // the time of Mark in Unix nanoseconds; 0 before
	heldUp  atomic.Int64 // see Result.HeldUp
	result  Result
}

// Start starts the clients and returns at once. Each runs until its dial is refused or ctx
// ends. The end of ctx cancels dials, which loses nothing. It does not cancel requests
// that have a connection.
func (c Clients) Start(ctx context.Context) *Run {
	r := c.prepare(ctx)
	go func() {
		defer close(r.done)
		r.loop(ctx)
	}()
	return r
}

// Ask sends one request, on a connection of its own, and returns why it was not answered.
// The end of ctx cancels it.
func (c Clients) Ask(ctx context.Context) error {
	c.N, c.Streams = 1, 1
	one := c.prepare(ctx).clients[0]
	defer one.transport.CloseIdleConnections()
	timed, stop := one.untilAnswerIsDue()
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	return one.send(timed)
}

// prepare returns a Run whose clients have not been started.
func (c Clients) prepare(ctx context.Context) *Run {
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
			stays:   c.Persistent,
			request: c.Request,
			run:     r,
			ended:   make(chan struct{}),
		}
		if c.Mode == HTTP2Shared && id%c.Streams > 0 {
			one.shares = r.clients[id-id%c.Streams]
			one.transport = one.shares.transport
		} else {
			one.transport = c.transport(ctx, r, &one.dialed)
		}
		r.clients = append(r.clients, one)
	}
	return r
}

// Mark divides the requests: Result.Later counts those that start from now on. Call it
// when the shutdown starts.
func (r *Run) Mark() { r.marked.Store(time.Now().UnixNano()) }

// Count returns the number of requests that have been answered so far.
func (r *Run) Count() int {
	n := 0
	for _, c := range r.clients {
		n += int(c.answered.Load())
	}
	return n
}

// Began returns the number of clients that have had a connection for a request.
func (r *Run) Began() int {
	n := 0
	for _, c := range r.clients {
		if c.conn.Load() != nil || c.answered.Load() > 0 {
			n++
		}
	}
	return n
}

// Lost returns the number of requests that have been lost so far.
func (r *Run) Lost() int {
	n := 0
	for _, c := range r.clients {
		n += int(c.lost.Load())
	}
	return n
}

// Warm waits until each client has had n responses. It returns an error if a client or
// ctx ends before that. It resets Result.Slowest and Result.Silence.
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

// Wait waits for all clients to end and returns the result. Until then all connections
// stay open, also those of clients that have ended, as in the pool of a program that goes
// on. It may be called more than once.
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
