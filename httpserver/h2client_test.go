package httpserver_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7

	frameWindowUpdate = 0x8

	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
)

// An h2 is an HTTP/2 client that reads and writes single frames.
type h2 struct {
	rawConn
	next uint32 // stream
}

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func newH2(t testing.TB, addr string) *h2 {
	t.Helper()
	return h2On(dialRaw(t, addr))
}

// h2On returns when client and server have exchanged SETTINGS and nothing is on its
// way.
func h2On(conn rawConn) *h2 {
	conn.t.Helper()
	c := &h2{conn, 1}
	c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.write(frame{kind: frameSettings})
	c.read(frameSettings, 0)
	c.read(frameSettings, flagAck)
	c.write(frame{kind: frameSettings, flags: flagAck})
	c.ping()
	return c
}

func (c *h2) write(f frame) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(f.payload))<<8|uint32(f.kind))
	b = append(b, f.flags)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	c.send(string(append(b, f.payload...)))
}

// ping waits for the answer to a PING. By then the server has handled what was sent
// before.
func (c *h2) ping() {
	c.t.Helper()
	c.write(frame{kind: framePing, payload: make([]byte, 8)})
	c.read(framePing, flagAck)
}

// get sends a request and returns its stream number.
func (c *h2) get(path string) uint32 {
	c.t.Helper()
	stream := c.next
	c.next += 2
	// HPACK: GET, http, a literal path, a literal authority.
	block := append([]byte{0x82, 0x86, 0x04, byte(len(path))}, path...)
	block = append(block, "\x01\x04test"...)
	c.write(frame{frameHeaders, flagEndStream | flagEndHeaders, stream, block})
	return stream
}

func (c *h2) frame() (f frame, err error) {
	header := make([]byte, 9)
	if _, err := io.ReadFull(c.r, header); err != nil {
		return f, err
	}
	size := binary.BigEndian.Uint32(header) >> 8
	f = frame{header[3], header[4], binary.BigEndian.Uint32(header[5:]), make([]byte, size)}
	_, err = io.ReadFull(c.r, f.payload)
	return f, err
}

// read skips frames until there is one of that kind with all of the flags.
func (c *h2) read(kind, flags byte) frame {
	c.t.Helper()
	for {
		f, err := c.frame()
		require.NoError(c.t, err)
		if f.kind == kind && f.flags&flags == flags {
			return f
		}
	}
}

// rest reads to the end of the connection. It returns the streams that ended, whether
// there was a GOAWAY, and the last stream that it includes.
func (c *h2) rest() (ended []uint32, goAway bool, last uint32) {
	c.t.Helper()
	for {
		f, err := c.frame()
		if err != nil {
			require.ErrorIs(c.t, err, io.EOF)
			return ended, goAway, last
		}
		switch {
		case f.kind == frameGoAway:
			goAway, last = true, binary.BigEndian.Uint32(f.payload)
		case (f.kind == frameHeaders || f.kind == frameData) && f.flags&flagEndStream != 0:
			ended = append(ended, f.stream)
		}
	}
}

// startH2 serves h2c and returns a connected client.
func startH2(t testing.TB, m *shutdown.Manager, h http.Handler) (c *h2, addr string) {
	t.Helper()
	srv := &http.Server{Handler: h}
	protocols["h2c"].serve(t, srv, func(ln net.Listener) {
		startOn(t, m, srv, ln)
		addr = ln.Addr().String()
	})
	return newH2(t, addr), addr
}

// read2 skips frames until there is one of these kinds.
func (c *h2) read2(a, b byte) frame {
	c.t.Helper()
	for {
		f, err := c.frame()
		require.NoError(c.t, err)
		if f.kind == a || f.kind == b {
			return f
		}
	}
}

// limited reads a number of responses and reports whether a GOAWAY came with them.
func (c *h2) limited(responses int) (is bool) {
	c.t.Helper()
	for pinged := false; ; {
		f, err := c.frame()
		require.NoError(c.t, err)
		switch {
		case f.kind == frameGoAway:
			is = true
		case f.kind == framePing:
			return is
		case (f.kind == frameHeaders || f.kind == frameData) && f.flags&flagEndStream != 0:
			responses--
		}
		if responses == 0 && !pinged {
			pinged = true
			c.write(frame{kind: framePing, payload: make([]byte, 8)})
		}
	}
}

// slowReader returns a client of a server whose socket has a small buffer. The windows
// of HTTP/2 are large enough.
func slowReader(t *testing.T, m *shutdown.Manager, h http.Handler) *h2 {
	t.Helper()
	srv := &http.Server{Handler: h, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(4096)
		return ctx
	}}
	var addr string
	protocols["h2c"].serve(t, srv, func(ln net.Listener) {
		startOn(t, m, srv, ln)
		addr = ln.Addr().String()
	})
	c := newH2(t, addr)
	window := binary.BigEndian.AppendUint32(nil, 1<<24)
	c.write(frame{kind: frameSettings, payload: append([]byte{0, 4}, window...)})
	c.write(frame{kind: frameWindowUpdate, payload: window})
	c.read(frameSettings, flagAck)
	return c
}

// bodies reads to the end and returns how many bytes of each of these streams it got.
func (c *h2) bodies(of map[uint32]int) map[uint32]int {
	c.t.Helper()
	got := map[uint32]int{}
	for {
		f, err := c.frame()
		if err != nil {
			require.ErrorIs(c.t, err, io.EOF)
			return got
		}
		require.LessOrEqual(c.t, f.kind, byte(0x9), "there is no such kind of frame")
		if _, ok := of[f.stream]; ok && f.kind == frameData {
			got[f.stream] += len(f.payload)
		}
	}
}
