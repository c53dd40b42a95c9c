// Package load hammers an HTTP server from many clients and accounts for every
// request, so that a shutdown can be judged by what it lost.
//
// The clients are closed loops: each sends its next request when the last one
// has been answered. A request is a POST whose body cannot be sent a second
// time, so net/http has no way to hide a loss by a retry, and its answer counts
// only if it echoes the body.
//
// A request is lost if it had a connection, or its dial ended in anything but a
// refusal, and no full and right answer came. A refused dial is no loss: it
// tells the client, before anything was sent, that the server has gone. It is
// also where a client ends.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Mode is how clients use connections.
type Mode int

// The modes.
const (
	NewConn     Mode = iota // a new connection for each request
	KeepAlive               // a connection a client, used again and again
	HTTP2                   // an HTTP/2 connection a client, one request at a time
	HTTP2Shared             // all clients are streams of one HTTP/2 connection
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

// Clients says who calls what. HTTP/2 is spoken in clear text with prior
// knowledge, which spends the processor on the server rather than on TLS; the
// server needs UnencryptedHTTP2 in its Protocols.
type Clients struct {
	Mode    Mode
	N       int           // how many clients; 0 means 32
	Addr    string        // the server's host:port
	Path    string        // of the handler, which must answer 200 and echo the body; "" means "/"
	Timeout time.Duration // for a dial, and then for the answer; 0 means 10 s
}

// Run is a load under way.
type Run struct {
	clients []*client
	done    chan struct{} // closed when result is complete
	pace    pace
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
	if c.Path == "" {
		c.Path = "/"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	r := &Run{done: make(chan struct{})}
	var shared *http.Transport
	for id := range c.N {
		transport := shared
		if transport == nil {
			transport = c.transport(ctx, &r.pace.silence)
		}
		if c.Mode == HTTP2Shared {
			shared = transport
		}
		r.clients = append(r.clients, &client{
			id:        id,
			url:       "http://" + c.Addr + c.Path,
			timeout:   c.Timeout,
			transport: transport,
			slowest:   &r.pace.slowest,
			ended:     make(chan struct{}),
		})
	}
	go func() {
		defer close(r.done)
		r.run(ctx, c.Mode)
	}()
	return r
}

// Count returns how many requests have been answered so far.
func (r *Run) Count() int {
	n := 0
	for _, c := range r.clients {
		n += int(c.answered.Load())
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

func (r *Run) run(ctx context.Context, mode Mode) {
	var wg sync.WaitGroup
	for i, c := range r.clients {
		wg.Go(func() { c.loop(ctx) })
		if mode == HTTP2Shared && i == 0 {
			// A transport dials for each request that finds no connection. Only
			// once there is one do all the others share it.
			_ = c.warm(ctx, 1)
		}
	}
	wg.Wait()
	for _, c := range r.clients {
		c.transport.CloseIdleConnections()
		r.result.Add(c.result)
	}
	r.result.Silence, r.result.Slowest = r.pace.silence.get(), r.pace.slowest.get()
}

// dialGrace is how long a dial may go on after the end of the run. The handshake
// may be over, and the dialling goroutine not have noticed: that connection
// counts.
const dialGrace = 50 * time.Millisecond

func (c Clients) transport(ctx context.Context, silence *longest) *http.Transport {
	dialer := &net.Dialer{Timeout: c.Timeout}
	t := &http.Transport{
		// Not under the request's context: the end of a run is to give up
		// dials only.
		DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			dialing, cancel := context.WithCancel(context.Background())
			defer cancel()
			defer context.AfterFunc(ctx, func() { time.AfterFunc(dialGrace, cancel) })()
			began := time.Now()
			conn, err := dialer.DialContext(dialing, network, addr)
			if err != nil {
				return nil, &dialError{err}
			}
			return &heardConn{Conn: conn, silence: silence, spoke: began}, nil
		},
		DisableCompression: true,
		DisableKeepAlives:  c.Mode == NewConn,
		Protocols:          new(http.Protocols),
	}
	switch c.Mode {
	case HTTP2, HTTP2Shared:
		t.Protocols.SetUnencryptedHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
	return t
}

type client struct {
	id        int
	url       string
	timeout   time.Duration
	transport *http.Transport
	slowest   *longest
	answered  atomic.Int64
	lost      atomic.Int64
	result    Result        // the client's own until ended is closed
	ended     chan struct{} // closed when the client has ended
}

func (c *client) loop(ctx context.Context) {
	defer close(c.ended)
	for ctx.Err() == nil {
		if gone := c.request(); gone {
			return
		}
	}
}

// request sends one request and records what became of it. It reports whether
// the client has nobody left to talk to.
func (c *client) request() (gone bool) {
	began := time.Now()
	err := c.roundTrip()
	var dial *dialError
	switch {
	case err == nil:
		c.result.Requests++
		c.result.LastReply = time.Now()
		c.slowest.add(time.Since(began))
		c.answered.Add(1)
	case errors.As(err, &dial) && errors.Is(err, syscall.ECONNREFUSED):
		c.result.Refused++
		return true
	case errors.As(err, &dial) && errors.Is(err, context.Canceled):
		return true // given up at the end of the run
	default:
		c.result.Requests++
		c.result.lose(kind(err))
		c.lost.Add(1)
	}
	return false
}

// warm waits until the client has had n answers.
func (c *client) warm(ctx context.Context, n int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.answered.Load() < int64(n) {
		select {
		case <-tick.C:
		case <-c.ended:
			if got := c.answered.Load(); got < int64(n) {
				return fmt.Errorf("load: client %d ended after %d answers", c.id, got)
			}
		case <-ctx.Done():
			return fmt.Errorf("load: waiting for %d answers to each client: %w", n, context.Cause(ctx))
		}
	}
	return nil
}

func (c *client) roundTrip() error {
	ctx, stop := c.untilAnswerIsDue()
	defer stop()
	err := c.send(ctx)
	var dial *dialError
	if errors.Is(err, context.Canceled) && !errors.As(err, &dial) {
		return context.DeadlineExceeded // nobody else cancels it
	}
	return err
}

// untilAnswerIsDue returns the context of a request, which ends when the answer
// has had its time. That begins when there is a connection: the dial has its
// own. With one limit for both, a machine that stands still lets both end at
// once, and a dial that nobody answers looks like a server that is silent.
func (c *client) untilAnswerIsDue() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	due := time.AfterFunc(math.MaxInt64, cancel) // not yet: a goroutine may stand still before a Stop
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { due.Stop() }, // also when net/http tries again
		GotConn: func(httptrace.GotConnInfo) { due.Reset(c.timeout) },
	})
	return ctx, func() {
		due.Stop()
		cancel()
	}
}

func (c *client) send(ctx context.Context) error {
	body := strconv.Itoa(c.id) + "-" + strconv.Itoa(c.result.Requests)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.GetBody = nil // with it net/http sends the request again when a connection is lost
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	echo, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return statusError(resp.StatusCode)
	case string(echo) != body:
		return errWrongAnswer
	}
	return nil
}
