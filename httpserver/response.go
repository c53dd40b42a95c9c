package httpserver

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A response sets "Connection: close" when its header is written, and not when the
// request starts, because long requests may have started before the shutdown. Otherwise
// each of their clients could send one more request, and the drain would take twice as
// long.
type response struct {
	http.ResponseWriter
	request *request
	streams *streams // of HTTP/2
	wrote   bool     // the header
}

// beforeHeader is called before everything that writes the header.
func (w *response) beforeHeader(status int) {
	if w.wrote || status < 200 { // 1xx is not the final header, and 101 has its own Connection header
		return
	}
	w.wrote = true
	// For a body that http.MaxBytesReader has cut off, net/http sets this header too, but
	// it finds out by a method that only its own ResponseWriter has.
	if w.request.handler.closing.decide(w.streams) || status == http.StatusRequestEntityTooLarge && w.request.http1 {
		w.Header().Set("Connection", "close")
	} else {
		w.request.keepsAlive.Store(true)
	}
	if w.streams != nil {
		w.streams.answered()
	}
}

func (w *response) WriteHeader(status int) {
	w.beforeHeader(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.beforeHeader(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

func (w *response) WriteString(s string) (int, error) {
	w.beforeHeader(http.StatusOK)
	return io.WriteString(w.ResponseWriter, s)
}

// FlushError is for http.ResponseController.
func (w *response) FlushError() error {
	w.beforeHeader(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A hijackable is a response with the optional interfaces of HTTP/1.
type hijackable struct{ response }

// CloseNotify is deprecated, but some programs require it.
func (w *hijackable) CloseNotify() <-chan bool { return closeNotify(w.ResponseWriter) }

// Flush implements http.Flusher.
func (w *hijackable) Flush() { _ = w.FlushError() }

// A pushable is a response with the optional interfaces of HTTP/2.
type pushable struct {
	flushable
	http.Pusher
}

func (w *pushable) CloseNotify() <-chan bool { return closeNotify(w.ResponseWriter) }

type flushable struct{ *response }

func (w flushable) Flush() { _ = w.FlushError() }

func closeNotify(w http.ResponseWriter) <-chan bool {
	if n, ok := w.(http.CloseNotifier); ok { //nolint:staticcheck // deprecated, but some programs require it
		return n.CloseNotify()
	}
	return nil
}

// withInterfacesOf returns w with the optional interfaces that inner has.
func (w *hijackable) withInterfacesOf(inner http.ResponseWriter) http.ResponseWriter {
	if _, ok := inner.(http.Hijacker); ok {
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
	c, rw, err := w.ResponseWriter.(http.Hijacker).Hijack()
	if err != nil {
		return c, rw, err
	}
	w.wrote = true // from now on the handler writes to the connection
	return unwrap(c), rw, nil
}

// ReadFrom keeps sendfile.
func (w *hijackable) ReadFrom(r io.Reader) (int64, error) {
	w.beforeHeader(http.StatusOK)
	if inner, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return inner.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
}
