package grpcserver_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
)

// unfinished runs a shutdown and returns what is in flight when Close starts.
func unfinished(t *testing.T, m *shutdown.Manager) []shutdown.Task {
	t.Helper()
	closing := make(chan []shutdown.Task, 1)
	m.On(shutdown.Close, "db", func(context.Context) error { closing <- m.Tasks(); return nil })
	_ = end(t, m) // the error says that connections were cut off
	return within(t, "Close", closing)
}

func receive(s pb.TestService_FullDuplexCallServer) error {
	_, err := s.Recv()
	return err
}

// Stop and GracefulStop wait for handshakes before they close a connection.
func TestAHandshakeThatHangsDoesNotBlockTheEndOfHandlers(t *testing.T) {
	synctest.Test(t, hangs)
}

func hangs(t *testing.T) {
	m := manager(t, endlessBudget)
	inside := make(chan struct{})
	creds := hangingCreds{insecure.NewCredentials(), newGate(t), new(atomic.Bool)}
	memory := serveInMemory(t, newServer(m, service{stream: func(s pb.TestService_FullDuplexCallServer) error {
		close(inside)
		return receive(s)
	}}, grpc.Creds(creds)))
	_, err := memory.client(t).FullDuplexCall(t.Context())
	require.NoError(t, err)
	within(t, "the stream", inside)
	creds.hang.Store(true)
	_, err = memory.connect(t.Context())
	require.NoError(t, err)
	within(t, "the handshake", creds.gate.entered)
	require.Empty(t, unfinished(t, m))
	creds.gate.Open()
}

// hangingCreds do not use the connection any more once they hang.
type hangingCreds struct {
	credentials.TransportCredentials
	gate *gate
	hang *atomic.Bool
}

func (c hangingCreds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.hang.Load() {
		_ = c.gate.pass(context.Background())
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

func (c hangingCreds) Clone() credentials.TransportCredentials { return c }

// A connection on which a GOAWAY cannot be written must not block the others and the
// drain.
//
// This test does not use virtual time, which does not advance while a goroutine waits for
// a mutex.
func TestAConnectionThatBlocksWritesDoesNotBlockTheDrain(t *testing.T) {
	t.Parallel()
	retry(t, func() error { return drainWithBlockedWrites(t) })
}

func drainWithBlockedWrites(t *testing.T) error {
	cfg := roomyBudget
	cfg.LameDuck = 100 * time.Millisecond
	m := manager(t, cfg)
	ln := blockingListener{listen(t)}
	require.NoError(t, newServer(m, service{}).Serve(ln))
	require.NoError(t, call(t, client(t, ln.Addr().String())))
	err := end(t, m)
	for _, s := range m.Report().Steps {
		if s.Abandoned {
			return fmt.Errorf("%s was abandoned", s.Name)
		}
	}
	require.ErrorContains(t, err, "1 connection cut off")
	return nil
}

type blockingListener struct{ net.Listener }

func (l blockingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &blocking{Conn: conn, closed: make(chan struct{})}, nil
}

// blocking is a connection on which writing a GOAWAY blocks.
type blocking struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *blocking) Write(b []byte) (int, error) {
	if len(b) > 3 && b[3] == 7 {
		<-c.closed
	}
	return c.Conn.Write(b)
}

func (c *blocking) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
