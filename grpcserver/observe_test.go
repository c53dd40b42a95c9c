package grpcserver_test

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
)

// RFC 9113, sections 3.4 and 6.
const (
	lenPreface   = 24
	lenHeader    = 9
	kindHeaders  = 0x1
	kindSettings = 0x4
	flagAck      = 0x1
)

// observingCreds are credentials that observe the HTTP/2 frames of a line, before they
// are encrypted.
type observingCreds struct {
	credentials.TransportCredentials
	line *line
}

func (c observingCreds) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err == nil { // a line has one dial at a time
		conn = &observed{Conn: conn, link: c.line.connection(), out: frames{rest: lenPreface}}
	}
	return conn, info, err
}

func (c observingCreds) Clone() credentials.TransportCredentials {
	return observingCreds{c.TransportCredentials.Clone(), c.line}
}

type observed struct {
	net.Conn
	link    *link
	in, out frames
}

// Write takes the time after the call has been sent: a client that is suspended during
// the write has not called in time.
func (s *observed) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.out.follow(b[:n], func(kind, _ byte) {
		if kind == kindHeaders {
			now := time.Now()
			s.link.called.CompareAndSwap(nil, &now)
		}
	})
	return n, err
}

// Read looks for the acknowledgement of the client's SETTINGS, with which gRPC completes
// the handshake of the server.
func (s *observed) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.in.follow(b[:n], func(kind, flags byte) {
		if kind == kindSettings && flags&flagAck != 0 {
			s.link.taken.Store(true)
		}
	})
	return n, err
}

// frames follows HTTP/2 frames in pieces of any length. It does not use the code of the
// package, which it helps to test.
type frames struct {
	header []byte // of the current frame, or the bytes of the next one so far
	rest   int    // bytes of the payload that are still to come
}

// follow calls each for every frame that ends in b.
func (f *frames) follow(b []byte, each func(kind, flags byte)) {
	for {
		n := min(f.rest, len(b))
		f.rest, b = f.rest-n, b[n:]
		if f.rest > 0 {
			return
		}
		if len(f.header) == lenHeader {
			each(f.header[3], f.header[4])
			f.header = f.header[:0]
		}
		n = min(lenHeader-len(f.header), len(b))
		f.header, b = append(f.header, b[:n]...), b[n:]
		if len(f.header) < lenHeader {
			return
		}
		f.rest = int(binary.BigEndian.Uint32(f.header) >> 8)
	}
}

// The crowds depend on this.
func TestATestClientKnowsWhenItsCallWasSent(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"in clear text": false, "over TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			var opts []grpc.ServerOption
			creds := insecure.NewCredentials()
			if secure {
				opts, creds = append(opts, grpc.Creds(credentials.NewTLS(serverTLS(t)))), clientTLS(t)
			}
			l := new(line)
			cc := dial(t, start(t, newServer(m, service{unary: g.pass}, opts...)), l.options(creds)...)
			cc.Connect()
			eventually(t, "the end of the handshakes", func() bool { return l.connected() && l.connection().taken.Load() })
			require.Nil(t, l.connection().called.Load())
			before := time.Now()
			answer := later(t, pb.NewTestServiceClient(cc))
			within(t, "the call", g.entered)
			eventually(t, "the call to be observed", func() bool { return l.connection().called.Load() != nil })
			require.WithinRange(t, *l.connection().called.Load(), before, time.Now())
			g.Open()
			require.NoError(t, within(t, "the answer", answer))
		})
	}
}
