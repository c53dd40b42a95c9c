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

// Of HTTP/2, RFC 9113, sections 3.4 and 6.
const (
	lenPreface   = 24
	lenHeader    = 9
	kindHeaders  = 0x1
	kindSettings = 0x4
	flagAck      = 0x1
)

// seeing are credentials that note on the line's connections what passes there,
// above what they encrypt.
type seeing struct {
	credentials.TransportCredentials
	line *line
}

func (c seeing) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err == nil { // a line dials one after another
		conn = &seen{Conn: conn, link: c.line.connection(), out: frames{rest: lenPreface}}
	}
	return conn, info, err
}

func (c seeing) Clone() credentials.TransportCredentials {
	return seeing{c.TransportCredentials.Clone(), c.line}
}

type seen struct {
	net.Conn
	link    *link
	in, out frames
}

// Write takes the time when the call has been sent: were it taken before, a client
// that then stands still would seem to have called in time.
func (s *seen) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.out.follow(b[:n], func(kind, _ byte) {
		if kind == kindHeaders {
			now := time.Now()
			s.link.called.CompareAndSwap(nil, &now)
		}
	})
	return n, err
}

// Read looks for the answer to the client's SETTINGS, with which a server that is
// gRPC ends its handshake.
func (s *seen) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.in.follow(b[:n], func(kind, flags byte) {
		if kind == kindSettings && flags&flagAck != 0 {
			s.link.taken.Store(true)
		}
	})
	return n, err
}

// frames are followed in pieces of any length. It is not the library's sequence,
// which is tested with it.
type frames struct {
	header []byte // of the present frame, or as much of the next as there is
	rest   int    // bytes of the present frame that are still to come
}

// follow calls each for every frame that ends here.
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

// What the crowds' clients are excused for rests on it.
func TestWhenACallIsSentIsSeen(t *testing.T) {
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
			eventually(t, "the call's being seen", func() bool { return l.connection().called.Load() != nil })
			require.WithinRange(t, *l.connection().called.Load(), before, time.Now())
			g.Open()
			require.NoError(t, within(t, "the answer", answer))
		})
	}
}
