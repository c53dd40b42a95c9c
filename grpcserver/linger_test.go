package grpcserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// These connections do not complete the handshake. GracefulStop waits for them for
// grpc.ConnectionTimeout, which is two minutes.
var incomplete = map[string]string{
	"nothing":                    "",
	"half a preface":             "PRI * HTTP/2.0\r\n",
	"a preface without settings": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

func TestConnectionsWithoutAHandshakeDoNotDelayTheDrain(t *testing.T) {
	t.Parallel()
	for name, sends := range incomplete {
		for _, secure := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " over TLS"}[secure], func(t *testing.T) {
				t.Parallel()
				m := manager(t, shutdown.Config{})
				var opts []grpc.ServerOption
				if secure {
					opts = append(opts, grpc.Creds(credentials.NewTLS(serverTLS(t))))
				}
				addr := start(t, newServer(m, service{}, opts...))
				if secure {
					require.NoError(t, call(t, client(t, addr, grpc.WithTransportCredentials(clientTLS(t)))))
				} else {
					require.NoError(t, call(t, client(t, addr)))
				}
				conn := dialRaw(t, addr)
				if secure && sends != "" {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				}
				_, err := io.WriteString(conn, sends)
				require.NoError(t, err)

				begun := time.Now()
				require.NoError(t, end(t, m))
				t.Logf("ended after %v", time.Since(begun))
				require.Less(t, time.Since(begun), soon)
				_, err = io.ReadAll(conn)
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server has closed it")
			})
		}
	}
}

// GracefulStop takes two minutes, so the test checks that it has not returned when a
// shutdown with the library, started later, has ended.
func TestControlGracefulStopWaitsForAConnectionThatSendsNothing(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	srv := grpc.NewServer()
	pb.RegisterTestServiceServer(srv, service{})
	served, stopped := make(chan error, 1), make(chan struct{})
	go func() { served <- srv.Serve(ln) }()
	require.NoError(t, call(t, client(t, ln.Addr().String())))
	conn := dialRaw(t, ln.Addr().String())
	_, err = io.ReadFull(conn, make([]byte, 9))
	require.NoError(t, err, "the server sends first, so it has accepted the connection")
	go func() { defer close(stopped); srv.GracefulStop() }()

	m := manager(t, shutdown.Config{})
	silent := dialRaw(t, start(t, newServer(m, service{})))
	require.NoError(t, end(t, m))
	silent.Close()
	select {
	case <-stopped:
		require.Fail(t, "GracefulStop does not wait, so this proves nothing")
	default:
	}
	conn.Close()
	within(t, "GracefulStop", stopped)
	require.NoError(t, within(t, "Serve", served))
}

// A client that has connected before the drain and sends its first RPC in time is
// answered.
func TestAClientThatHasJustConnectedCanSendAnRPC(t *testing.T) {
	t.Parallel()
	for late, inTime := 0, 0; inTime < 20; {
		if calls(t) {
			inTime++
			continue
		}
		late++
		require.Less(t, late, tries)
	}
}

// calls reports whether a client that has just connected was answered. If not, its call
// was too late.
func calls(t *testing.T) bool {
	m := manager(t, shutdown.Config{})
	l := new(line)
	cc := dial(t, start(t, newServer(m, service{})), l.options(insecure.NewCredentials())...)
	cc.Connect()
	eventually(t, "the connection", func() bool { return cc.GetState().String() == "READY" })
	begun := time.Now()
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	time.Sleep(inTime / 10) // a server that does not wait has sent its GOAWAY by then
	err := call(t, pb.NewTestServiceClient(cc))
	late := l.connection().late(begun) || begun.Sub(l.connection().dialed) > 9*time.Second
	require.NoError(t, within(t, "the end", wait(m)))
	if err != nil && late {
		return false
	}
	require.NoError(t, err)
	return true
}

// The server waits for slow clients, before their handshake and before their first RPC.
// The controls show the limits.
func TestTheTimesOfTheLinger(t *testing.T) {
	for name, c := range map[string]struct {
		after []time.Duration // when each client sends something, after the start of Drain
		mute  bool            // it has not sent its preface before
		calls time.Duration   // when it calls, after that
		lost  int
	}{
		"a client has 250 ms":                 {after: ms(240)},
		"it has 250 ms for its preface":       {after: ms(240), mute: true},
		"as long as others make progress":     {after: ms(240, 480, 720, 960)},
		"a handshake is progress too":         {after: ms(240, 480, 720, 960), mute: true},
		"even without an RPC":                 {after: ms(240), mute: true, calls: 240 * time.Millisecond},
		"control: no longer without progress": {after: ms(240, 600), lost: 1},
		"control: nor for its preface":        {after: ms(240, 600), mute: true, lost: 1},
		"control: one second in all":          {after: ms(240, 480, 720, 960, 1200), lost: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := manager(t, shutdown.Config{})
				memory := serveInMemory(t, newServer(m, service{}))
				begin := time.Now().Add(5 * time.Second)
				results := make(chan error, len(c.after))
				for _, after := range c.after {
					cc := memory.dialThrough(t, func(conn net.Conn) net.Conn {
						if c.mute {
							return &mute{Conn: conn, until: begin.Add(after)}
						}
						return conn
					})
					cc.Connect()
					go func() {
						time.Sleep(time.Until(begin.Add(after + c.calls)))
						results <- call(t, pb.NewTestServiceClient(cc))
					}()
				}
				time.Sleep(time.Until(begin))
				require.NoError(t, end(t, m))
				lost := 0
				for range c.after {
					if err := within(t, "the answer", results); err != nil {
						require.Equal(t, codes.Unavailable, status.Code(err))
						lost++
					}
				}
				require.Equal(t, c.lost, lost)
			})
		})
	}
}

// Neither a connection that gets too old nor one that the client closes counts as
// progress.
func TestAConnectionThatGetsOldOrIsClosedMakesNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{})
		memory := serveInMemory(t, newServer(m, service{}))
		begin := time.Now().Add(10 * time.Second)
		for _, old := range ms(9900, 9700, 9500, 0) {
			time.Sleep(time.Until(begin.Add(-old)))
			memory.dial(t).Connect()
		}
		closes := memory.dial(t)
		closes.Connect()
		synctest.Wait()
		time.AfterFunc(240*time.Millisecond, func() { _ = closes.Close() })
		require.NoError(t, end(t, m))
		require.Less(t, time.Since(begin), 400*time.Millisecond)
	})
}

// The client has sent bytes that gRPC has not read yet.
func TestAConnectionWithUnreadBytesIsNotClosed(t *testing.T) {
	t.Parallel()
	for late := 0; !calledBeforeTheHandshake(t); late++ {
		require.Less(t, late, tries)
	}
}

// calledBeforeTheHandshake reports whether a client was answered that had sent its preface
// before the server started the handshake. If not, the client was too slow afterwards.
func calledBeforeTheHandshake(t *testing.T) bool {
	m := manager(t, shutdown.Config{})
	slow := slowCreds{insecure.NewCredentials(), newGate(t)}
	addr := start(t, newServer(m, service{}, grpc.Creds(slow)))
	wrote := make(chan struct{})
	l := new(line)
	dialer := grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := l.dial(ctx, addr)
		return &notifying{Conn: conn, wrote: sync.OnceFunc(func() { close(wrote) })}, err
	})
	answer := later(t, client(t, addr, append(l.options(insecure.NewCredentials()), dialer)...))
	within(t, "the client's preface", wrote)
	within(t, "the handshake", slow.gate.entered)
	ended := wait(m)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	silent := m.Report().Begun
	eventually(t, "twice the time for silent connections", func() bool { return time.Since(silent) > 600*time.Millisecond })
	opened := time.Now()
	slow.gate.Open()
	err := within(t, "the answer", answer)
	// The server waits for one second in all, of which enough has to be left.
	late := l.connection().late(opened) || opened.Sub(silent) > 700*time.Millisecond
	require.NoError(t, within(t, "the end", ended))
	if err != nil && late {
		return false
	}
	require.NoError(t, err)
	return true
}

// notifying is a connection that calls a function after its first write.
type notifying struct {
	net.Conn
	wrote func()
}

func (c *notifying) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wrote()
	return n, err
}

// slowCreds start the handshake when the gate is opened.
type slowCreds struct {
	credentials.TransportCredentials
	gate *gate
}

func (c slowCreds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	_ = c.gate.pass(context.Background())
	return c.TransportCredentials.ServerHandshake(conn)
}

func (c slowCreds) Clone() credentials.TransportCredentials { return c }
