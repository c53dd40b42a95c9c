package httpserver

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown"
)

// closing decides whether a response asks the client to leave.
type closing struct {
	m     *shutdown.Manager
	once  sync.Once
	begun time.Time
	ramp  time.Duration // 0 is all at once
}

// now reports whether the response whose header is about to be written should
// ask the client to leave.
func (c *closing) now(on *streams) bool {
	phase := c.m.Phase()
	if phase == shutdown.Running {
		return false
	}
	c.once.Do(func() {
		r := c.m.Report()
		c.begun, c.ramp = r.Begun, r.LameDuck
	})
	elapsed := time.Since(c.begun)
	ramping := phase == shutdown.Leave && elapsed < c.ramp && (on == nil || !on.leaving())
	if ramping && rand.Float64() >= float64(elapsed)/float64(c.ramp) { //nolint:gosec // a share of responses, not a secret
		return false
	}
	return on == nil || on.leave()
}

// A response sets "Connection: close" when its header is written and not when
// the request begins: long requests began before the shutdown. Otherwise each of
// their clients could send one more, and the drain would last twice as long.
type response struct {
	http.ResponseWriter
	closing *closing
	request *request
	streams *streams // of HTTP/2
	wrote   bool     // the header
}

// headerDue comes before everything that writes the header.
func (w *response) headerDue(status int) {
	if w.wrote || status < 200 { // 1xx is not the header yet, or of a protocol with rules of its own
		return
	}
	w.wrote = true
	// net/http does so too for what http.MaxBytesReader has cut off, or it would first
	// read on for a while; but it looks for a method of its own.
	if w.closing.now(w.streams) || status == http.StatusRequestEntityTooLarge && w.request.proto == 1 {
		w.Header().Set("Connection", "close")
	} else {
		w.request.goesOn.Store(true)
	}
	if w.streams != nil {
		w.streams.answer()
	}
}

func (w *response) WriteHeader(status int) {
	w.headerDue(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.headerDue(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

func (w *response) WriteString(s string) (int, error) {
	w.headerDue(http.StatusOK)
	return io.WriteString(w.ResponseWriter, s)
}

// FlushError is what http.ResponseController looks for.
func (w *response) FlushError() error {
	w.headerDue(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hijackable is a response that keeps what HTTP/1 has.
type hijackable struct {
	response
	inner http.Hijacker
}

// CloseNotify is deprecated and yet called by some without asking.
func (w *hijackable) CloseNotify() <-chan bool { return closeNotify(w.ResponseWriter) }

// Flush is http.Flusher.
func (w *hijackable) Flush() { _ = w.FlushError() }

// pushable is a response that keeps what HTTP/2 has.
type pushable struct {
	flushable
	http.Pusher
}

func (w *pushable) CloseNotify() <-chan bool { return closeNotify(w.ResponseWriter) }

type flushable struct{ *response }

func (w flushable) Flush() { _ = w.FlushError() }

func closeNotify(w http.ResponseWriter) <-chan bool {
	if n, ok := w.(http.CloseNotifier); ok { //nolint:staticcheck // whoever calls it knows, or not
		return n.CloseNotify()
	}
	return nil
}

// asGoodAs returns w with those of the optional methods that inner has.
func (w *hijackable) asGoodAs(inner http.ResponseWriter) http.ResponseWriter {
	if h, ok := inner.(http.Hijacker); ok {
		w.inner = h
		return w
	}
	if p, ok := inner.(http.Pusher); ok {
		return &pushable{flushable{&w.response}, p}
	}
	if _, ok := inner.(http.Flusher); ok {
		return flushable{&w.response}
	}
	return &w.response
}

// Hijack returns the connection as it came from the listener.
func (w *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := w.inner.Hijack()
	if err != nil {
		return c, rw, err
	}
	w.wrote = true // by the handler from now on
	return bare(c), rw, nil
}

// ReadFrom keeps sendfile.
func (w *hijackable) ReadFrom(r io.Reader) (int64, error) {
	w.headerDue(http.StatusOK)
	if inner, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return inner.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
}
