package grpcserver_test

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// The credentials inspect the Unix socket, as those do that ask for the process of the
// peer.
func TestAUnixSocketIsServedAndDrained(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	path := filepath.Join(t.TempDir(), "socket")
	ln, err := listener.Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	require.NoError(t, newServer(m, service{unary: g.pass}, grpc.Creds(unixCreds{insecure.NewCredentials()})).Serve(ln))
	require.Equal(t, "grpc "+path, m.Report().Pending[0].Name)
	cc, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	answer := later(t, pb.NewTestServiceClient(cc))
	within(t, "the call", g.entered)
	ended := wait(m)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	eventually(t, "the path to be removed", func() bool {
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	g.Open()
	require.NoError(t, within(t, "the answer", answer))
	require.NoError(t, within(t, "the end", ended))
}

type unixCreds struct {
	credentials.TransportCredentials
}

func (c unixCreds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	inner, ok := conn.(interface{ NetConn() net.Conn })
	if !ok {
		return nil, nil, fmt.Errorf("%T has no NetConn", conn)
	}
	socket, ok := inner.NetConn().(*net.UnixConn)
	if !ok {
		return nil, nil, fmt.Errorf("%T is not a Unix socket", inner.NetConn())
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	if err := raw.Control(func(uintptr) {}); err != nil {
		return nil, nil, err
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

func (c unixCreds) Clone() credentials.TransportCredentials { return c }
