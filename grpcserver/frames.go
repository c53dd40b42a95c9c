package grpcserver

import (
	"encoding/binary"
	"net"
	"sync"
)

// Of HTTP/2, RFC 9113, sections 3.4 and 6.
const (
	preface           = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader       = 9
	frameHeaders      = 0x1
	frameSettings     = 0x4
	frameGoAway       = 0x7
	frameContinuation = 0x9
	flagEndHeaders    = 0x4
	setting           = 6 // the length of each
	maxFrame          = 1 << 14
)

// goAway is a frame for stream 0 that names the highest stream there can be, and
// no error (section 6.8): the client begins nothing new on the connection, and
// nothing is lost that is on its way. GracefulStop sends the same, but to all at
// once, and gRPC has no way to tell one connection alone.
var goAway = []byte{0, 0, 8, frameGoAway, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// framed is a connection as gRPC reads and writes it, which knows where in the
// sequence of frames that is. Both directions are followed by their headers
// alone; what is not HTTP/2, because it is encrypted, is left alone.
type framed struct {
	net.Conn
	conn *conn // what is known about it

	// For the goroutine that reads.
	in      sequence
	skipped int // of the preface
	deaf    bool

	mu    sync.Mutex // protects what follows
	out   sequence
	alien bool // what was written is no HTTP/2
	block bool // the next frame has to be a CONTINUATION
	told  bool // a GOAWAY has been written, ours or gRPC's
}

// Read looks for the first RPC, and at nothing after that.
func (f *framed) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if n > 0 && !f.deaf {
		f.listen(b[:n])
	}
	return n, err
}

func (f *framed) listen(b []byte) {
	if rest := len(preface) - f.skipped; rest > 0 {
		n := min(rest, len(b))
		if string(b[:n]) != preface[f.skipped:f.skipped+n] {
			f.deaf = true
			return
		}
		f.skipped += n
		b = b[n:]
	}
	f.in.follow(b, func(kind, _ byte, _ int) (more bool) {
		if kind == frameHeaders {
			f.deaf = true
			f.conn.hasSpoken()
		}
		return !f.deaf
	})
}

func (f *framed) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.Conn.Write(b)
	if !f.alien {
		f.out.follow(b[:n], f.wroteLocked)
	}
	return n, err
}

func (f *framed) wroteLocked(kind, flags byte, length int) (more bool) {
	// A server's first frame is SETTINGS.
	if f.out.frames == 1 && (kind != frameSettings || length%setting != 0 || length > maxFrame) {
		f.alien = true
	}
	if kind == frameHeaders || kind == frameContinuation {
		f.block = flags&flagEndHeaders == 0
	}
	// gRPC's own, at MaxConnectionAge or when the client is at fault: after it
	// ours would raise the last stream, which RFC 9113, section 6.8, forbids, and
	// for which grpc-java drops the connection with all that is in flight on it.
	if kind == frameGoAway {
		f.told = true
	}
	return !f.alien
}

// tell writes our GOAWAY, unless a write is under way, or a frame half written,
// or there is no room: those that come next would wait for this one. It reports
// whether there is nothing to come back for.
func (f *framed) tell() bool {
	if !f.mu.TryLock() { // a write may be long: a client that does not read
		return false
	}
	defer f.mu.Unlock()
	if f.alien || f.told {
		return true
	}
	if f.out.frames == 0 || !f.out.between() || f.block || !writable(f.conn.raw.Conn) {
		return false
	}
	f.told = true
	_, _ = f.Conn.Write(goAway) // if the connection is gone nobody has to be told
	return true
}

// untold reports whether tell has something to do.
func (f *framed) untold() bool {
	if !f.mu.TryLock() {
		return true
	}
	defer f.mu.Unlock()
	return !f.told && !f.alien
}

// A sequence is of frames, read or written in pieces of any length.
type sequence struct {
	frames int // whose headers are complete
	header [frameHeader]byte
	have   int // bytes of the next header
	rest   int // bytes of the present frame that are still to come
}

// follow takes the next piece, and calls each for every header that is complete
// with it, as long as that returns true.
func (s *sequence) follow(b []byte, each func(kind, flags byte, length int) (more bool)) {
	for len(b) > 0 {
		if s.rest > 0 {
			n := min(s.rest, len(b))
			s.rest -= n
			b = b[n:]
			continue
		}
		n := copy(s.header[s.have:], b)
		s.have += n
		b = b[n:]
		if s.have < frameHeader {
			return
		}
		s.have = 0
		s.frames++
		s.rest = int(binary.BigEndian.Uint32(s.header[:4]) >> 8)
		if !each(s.header[3], s.header[4], s.rest) {
			return
		}
	}
}

// between reports whether the last frame is complete and none has begun.
func (s *sequence) between() bool { return s.have == 0 && s.rest == 0 }
