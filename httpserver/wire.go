package httpserver

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// A wire counts the reads and writes of a connection that may use HTTP/2.
type wire struct {
	c             *conn
	reads         atomic.Uint64 // that returned bytes
	readsAtIdle   atomic.Uint64 // reads when the last request ended
	writesStarted atomic.Uint64 // a write is in progress if writesEnded is less
	writesEnded   atomic.Uint64
	// writesAtActive is writesEnded plus one when net/http first reported the state
	// active.
	writesAtActive atomic.Uint64
	writeMu        sync.Mutex // protects frames; held during each write
	frames         frames
	streams        streams // of HTTP/2
}

// silent reports whether no byte has arrived since the last request.
func (w *wire) silent() bool { return w.reads.Load() == w.readsAtIdle.Load() }

// writes returns how many writes have started, and whether all of them have ended.
func (w *wire) writes() (n uint64, ended bool) {
	n = w.writesStarted.Load()
	return n, n == w.writesEnded.Load()
}

func (w *wire) write(to net.Conn, p []byte) (n int, err error) {
	w.writesStarted.Add(1)
	defer w.writesEnded.Add(1)
	w.writeMu.Lock()
	defer w.writeMu.Unlock()
	n, err = to.Write(p)
	w.frames.follow(p[:n])
	return n, err
}

func (w *wire) countRead(n int, err error) (int, error) {
	if n > 0 {
		w.reads.Add(1)
	}
	return n, err
}

// isHTTP2 also recognizes a connection that has had no request.
func (w *wire) isHTTP2() bool {
	if http.ConnState(w.c.state.Load()) == http.StateIdle { // then there is no handshake to wait for
		if t, ok := w.c.outer().(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
			w.streams.used.Store(true)
		}
	}
	return w.streams.used.Load()
}

func (w *wire) isClearHTTP2() bool { return !w.c.inTLS() && w.streams.used.Load() }

// midFrame reports whether a frame of cleartext HTTP/2 is being written. In TLS, frames
// cannot be seen.
func (w *wire) midFrame() bool {
	if !w.isClearHTTP2() {
		return false
	}
	if !w.writeMu.TryLock() {
		return true
	}
	defer w.writeMu.Unlock()
	return !w.frames.atBoundary()
}

// writeFrame writes a frame between those of net/http. If another one is being written,
// it does nothing and reports false.
func (w *wire) writeFrame(frame []byte) bool {
	if !w.isClearHTTP2() {
		if !w.settingsSent() {
			return false
		}
		_, _ = w.c.outer().Write(frame) // if the connection has failed, so have its requests
		return true
	}
	if !w.writeMu.TryLock() {
		return false
	}
	defer w.writeMu.Unlock()
	if !w.frames.atBoundary() {
		return false
	}
	_, _ = w.c.inner().Write(frame)
	return true
}

// settingsSent reports whether net/http has written its SETTINGS on an HTTP/2
// connection with TLS, where frames cannot be seen. The first write after it has
// reported the state active is the SETTINGS frame or comes after it.
func (w *wire) settingsSent() bool {
	at := w.writesAtActive.Load()
	return at > 0 && w.writesEnded.Load() >= at
}
