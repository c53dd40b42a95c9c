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
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// dialGrace is how long a dial may go on after the end of the run. The handshake may have
// completed before the dialling goroutine has noticed; such a connection counts.
const dialGrace = 50 * time.Millisecond

func (c Clients) transport(ctx context.Context, r *Run, dialed *atomic.Pointer[monitoredConn]) *http.Transport {
	dialer := &net.Dialer{Timeout: c.Timeout}
	t := &http.Transport{
		// It does not use the request's context: the end of a run cancels only
		// dials.
		DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			dialing, cancel := context.WithCancel(context.Background())
			defer cancel()
			defer context.AfterFunc(ctx, func() { time.AfterFunc(dialGrace, cancel) })()
			began := time.Now()
			conn, err := dialer.DialContext(dialing, network, addr)
			if time.Since(began) > heldUp || errors.Is(dialing.Err(), context.Canceled) {
				r.heldUp.Add(1)
			}
			if err != nil {
				return nil, &dialError{err}
			}
			if c.Delay > 0 {
				conn = delayed(conn, c.Delay)
			}
			monitored := &monitoredConn{Conn: conn, silence: &r.pace.silence, lastWrite: began, lastRead: time.Now()}
			dialed.Store(monitored)
			return monitored, nil
		},
		TLSClientConfig:    c.TLS.Clone(), // net/http modifies it
		DisableCompression: true,
		DisableKeepAlives:  c.Mode == NewConn,
		Protocols:          new(http.Protocols),
	}
	grpc := c.Request != nil && c.Request.GRPC
	switch http2 := c.Mode == HTTP2 || c.Mode == HTTP2Shared || grpc; {
	case http2 && c.TLS != nil:
		t.Protocols.SetHTTP2(true)
	case http2:
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
	pause     time.Duration
	gone      int  // a status; 0 means none
	stays     bool // after a refused dial
	request   *Request
	run       *Run
	shares    *client // whose connection this client uses; nil if it has its own
	transport *http.Transport
	answering atomic.Bool // the response to the current request has started
	answered  atomic.Int64
	lost      atomic.Int64
	conn      atomic.Pointer[monitoredConn] // of the current request; nil if it has none
	dialed    atomic.Pointer[monitoredConn] // the last one; its TLS handshake may be in progress
	result    Result                        // written by the client until ended is closed
	ended     chan struct{}                 // closed when the client has ended
}

func (c *client) loop(ctx context.Context) {
	defer close(c.ended)
	if c.shares != nil {
		// A transport dials for each request that finds no connection. The clients
		// can share one only when it exists.
		_ = c.shares.warm(ctx, 1)
	}
	for ctx.Err() == nil {
		if gone := c.once(); gone {
			return
		}
		if c.pause > 0 {
			select {
			case <-time.After(c.pause):
			case <-ctx.Done():
			}
		}
	}
}

// once sends one request and records the outcome. It reports whether the client has
// to end, because nothing listens any more.
func (c *client) once() (gone bool) {
	began := time.Now()
	c.conn.Store(nil)
	c.answering.Store(false)
	err := c.roundTrip()
	marked := c.run.marked.Load()
	later := marked > 0 && began.UnixNano() >= marked
	var dial *dialError
	switch {
	case err == nil:
		if conn := c.conn.Load(); conn != nil {
			conn.answered()
		}
		c.result.Answer(later)
		took := time.Since(began)
		if took > heldUp {
			c.result.Delayed++
		}
		c.run.pace.slowest.add(took)
		c.answered.Add(1)
	case errors.As(err, &dial) && errors.Is(err, syscall.ECONNREFUSED), c.isGone(err):
		c.result.Refused++
		return !c.stays
	case errors.As(err, &dial) && errors.Is(err, context.Canceled):
		return true // cancelled at the end of the run
	default:
		c.lose(err, later)
	}
	return false
}

func (c *client) lose(err error, later bool) {
	k := Kind(err)
	c.result.Lose(k, later)
	conn := c.conn.Load()
	if conn == nil {
		conn = c.dialed.Load() // it ended during the TLS handshake
	}
	if conn != nil && slices.Contains(connectionLost, k) && !c.answering.Load() {
		c.result.IdleBefore = append(c.result.IdleBefore, conn.idleBefore())
		c.result.Ended = append(c.result.Ended, conn.ended())
	}
	c.lost.Add(1)
}

// isGone reports whether err is the status of a proxy whose dial was refused.
func (c *client) isGone(err error) bool {
	var status statusError
	return c.gone != 0 && errors.As(err, &status) && int(status) == c.gone
}

// warm waits until the client has had n responses.
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
		return context.DeadlineExceeded // only the timer cancels it
	}
	return err
}

// untilAnswerIsDue returns the context of a request, which ends when the response times
// out. The time starts when there is a connection; the dial has its own timeout. With one
// timeout for both, a suspended machine would make a dial without an answer look like a
// silent server.
func (c *client) untilAnswerIsDue() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	due := time.AfterFunc(math.MaxInt64, cancel) // no timeout yet; Stop could come too late
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { due.Stop() }, // also called when net/http retries
		GotConn: func(info httptrace.GotConnInfo) {
			if conn := monitoredConnOf(info.Conn); conn != nil {
				conn.begin()
				c.conn.Store(conn)
			}
			due.Reset(c.timeout)
		},
		GotFirstResponseByte: func() { c.answering.Store(true) }, // not called for a TLS alert
	})
	return ctx, func() {
		due.Stop()
		cancel()
	}
}

// sendOwnBody sends a body that no other request has, and expects it as the response.
func (c *client) sendOwnBody(ctx context.Context) error {
	body := "<" + strconv.Itoa(c.id) + "-" + strconv.Itoa(c.result.Requests) + ">" // no body is a prefix or suffix of another
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.GetBody = nil // with it net/http would retry the request when a connection is lost
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return statusError(resp.StatusCode)
	case string(answer) != body && !encloses(string(answer), body):
		return errWrongAnswer
	}
	return nil
}

// maxAnswer is how many bytes of a response a client reads.
const maxAnswer = 1 << 20

// encloses reports whether the response starts and ends with the body.
func encloses(answer, body string) bool {
	return len(answer) >= 2*len(body) && strings.HasPrefix(answer, body) && strings.HasSuffix(answer, body)
}
