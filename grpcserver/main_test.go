package grpcserver_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

func TestMain(m *testing.M) {
	// The tests do not depend on the grace period of the environment.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// soon is a limit for what should happen at once; no test waits for it to pass.
const soon = 50 * time.Second

// tries is how often a test repeats a round that proves nothing because the machine was
// too slow at the wrong moment. A bug fails each of them.
const tries = 20

// manager returns a Manager that catches no signals. Its shutdown ends before the test
// does.
func manager(t testing.TB, cfg shutdown.Config) *shutdown.Manager {
	t.Helper()
	cfg.Signals = map[os.Signal]shutdown.Action{}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.GracePeriod == 0 {
		cfg.GracePeriod = 5 * time.Minute
	}
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		m.Force(nil)
		_ = m.Wait()
	})
	return m
}

// A service has the handlers of a test. The zero value answers at once.
type service struct {
	pb.UnimplementedTestServiceServer
	unary  func(context.Context) error
	stream func(pb.TestService_FullDuplexCallServer) error
}

func (s service) UnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s.unary != nil {
		if err := s.unary(ctx); err != nil {
			return nil, err
		}
	}
	return &pb.SimpleResponse{Payload: req.GetPayload()}, nil
}

func (s service) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	return s.stream(stream)
}

func newServer(m *shutdown.Manager, s service, opts ...grpc.ServerOption) *grpcserver.Server {
	srv := grpcserver.NewServer(m, opts...)
	pb.RegisterTestServiceServer(srv, s)
	return srv
}

func listen(t testing.TB) *listener.Listener {
	t.Helper()
	ln, err := listener.Listen(t.Context(), "tcp", loopback.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// start serves on a new port and returns the address.
func start(t testing.TB, srv *grpcserver.Server) (addr string) {
	t.Helper()
	require.NoError(t, srv.Serve(listen(t)))
	return srv.Addr().String()
}

func dial(t testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func client(t testing.TB, addr string, opts ...grpc.DialOption) pb.TestServiceClient {
	return pb.NewTestServiceClient(dial(t, addr, opts...))
}

func call(t testing.TB, c pb.TestServiceClient) error {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
	return err
}

// later makes a call in a goroutine.
func later(t testing.TB, c pb.TestServiceClient) <-chan error {
	results := make(chan error, 1)
	go func() { results <- call(t, c) }()
	return results
}

// within receives from the channel. It fails the test if there is nothing soon.
func within[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(soon):
		require.FailNow(t, "not within "+soon.String()+": "+what)
	}
	return v
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "not within "+soon.String()+": "+what)
		}
	}
}

func waitPhase(t testing.TB, m *shutdown.Manager, p shutdown.Phase) {
	t.Helper()
	eventually(t, "phase "+p.String(), func() bool { return m.Phase() >= p })
}

// wait calls m.Wait in a goroutine.
func wait(m *shutdown.Manager) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- m.Wait() }()
	return ended
}

// end runs a whole shutdown.
func end(t testing.TB, m *shutdown.Manager) error {
	t.Helper()
	m.Begin(nil)
	return within(t, "the end of the shutdown", wait(m))
}

func taskNames(m *shutdown.Manager) []string {
	var names []string
	for _, task := range m.Tasks() {
		names = append(names, task.Name)
	}
	return names
}

// A gate blocks calls until it is opened.
type gate struct {
	entered chan struct{} // a token for each call
	open    chan struct{}
	once    sync.Once
}

func newGate(t testing.TB) *gate {
	g := &gate{entered: make(chan struct{}, 1000), open: make(chan struct{})}
	t.Cleanup(g.Open)
	return g
}

func (g *gate) Open() { g.once.Do(func() { close(g.open) }) }

// pass can also be a hook, which holds the shutdown in its phase.
func (g *gate) pass(context.Context) error {
	g.entered <- struct{}{}
	<-g.open
	return nil
}

func dialRaw(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, soon)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * soon))
	return conn
}

// waitRefused waits until a dial of addr is refused. Later dials may not be, because
// another program may bind the port.
func waitRefused(t testing.TB, addr string) {
	t.Helper()
	eventually(t, "the port to close", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}
