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

// What a connection sends that never becomes a client: GracefulStop waits for
// it, for grpc.ConnectionTimeout, which is two minutes.
var stillborn = map[string]string{
	"nothing":                    "",
	"half a preface":             "PRI * HTTP/2.0\r\n",
	"a preface without settings": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

func TestConnectionsWithoutAHandshakeDoNotHoldTheEnd(t *testing.T) {
	t.Parallel()
	for name, sends := range stillborn {
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

// The negative control: it goes on for two minutes, so what is looked at is that
// it has not ended when the library's end, in the same time, long has.
func TestGracefulStopWaitsForAConnectionThatSendsNothing(t *testing.T) {
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
	require.NoError(t, err, "the server speaks first, so it has taken the connection")
	go func() { defer close(stopped); srv.GracefulStop() }()

	m := manager(t, shutdown.Config{})
	silent := dialRaw(t, start(t, newServer(m, service{})))
	require.NoError(t, end(t, m))
	silent.Close()
	select {
	case <-stopped:
		require.Fail(t, "GracefulStop does not wait: this proves nothing")
	default:
	}
	conn.Close()
	within(t, "GracefulStop", stopped)
	require.NoError(t, within(t, "Serve", served))
}

// A client that has connected and not called yet is not turned away, if it does
// call in time.
func TestAClientThatHasJustConnectedMayCall(t *testing.T) {
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

// calls reports whether a client that has just connected was answered. If not, it
// called too late.
func calls(t *testing.T) bool {
	m := manager(t, shutdown.Config{})
	l := new(line)
	cc := dial(t, start(t, newServer(m, service{})), l.options(insecure.NewCredentials())...)
	cc.Connect()
	eventually(t, "the connection", func() bool { return cc.GetState().String() == "READY" })
	begun := time.Now()
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	time.Sleep(inTime / 10) // a server that does not wait has said good-bye by then
	err := call(t, pb.NewTestServiceClient(cc))
	late := l.connection().late(begun) || begun.Sub(l.connection().dialed) > 9*time.Second
	require.NoError(t, within(t, "the end", wait(m)))
	if err != nil && late {
		return false
	}
	require.NoError(t, err)
	return true
}

// Neither a connection that only the kernel has made, nor one whose client has
// not come to call, is turned away for its client's slowness. The controls say
// where that ends.
func TestAClientThatHasJustConnectedIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		after []time.Duration // Drain has begun each client gets its processor
		mute  bool            // and its handshake is still to come then
		calls time.Duration   // so long after that
		lost  int
	}{
		"it has 250 ms":                   {after: ms(240)},
		"it has 250 ms for its preface":   {after: ms(240), mute: true},
		"as long as others come further":  {after: ms(240, 480, 720, 960)},
		"further with a handshake, too":   {after: ms(240, 480, 720, 960), mute: true},
		"further without an RPC, too":     {after: ms(240), mute: true, calls: 240 * time.Millisecond},
		"control: no longer if none does": {after: ms(240, 600), lost: 1},
		"control: nor for its preface":    {after: ms(240, 600), mute: true, lost: 1},
		"control: a second in all":        {after: ms(240, 480, 720, 960, 1200), lost: 1},
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

// Who grows too old to be waited for, or hangs up, has not come further.
func TestWhoIsWaitedForNoLongerHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{})
		memory := serveInMemory(t, newServer(m, service{}))
		begin := time.Now().Add(10 * time.Second)
		for _, old := range ms(9900, 9700, 9500, 0) {
			time.Sleep(time.Until(begin.Add(-old)))
			memory.dial(t).Connect()
		}
		leaver := memory.dial(t)
		leaver.Connect()
		synctest.Wait()
		time.AfterFunc(240*time.Millisecond, func() { _ = leaver.Close() })
		require.NoError(t, end(t, m))
		require.Less(t, time.Since(begin), 400*time.Millisecond)
	})
}

// What has been sent and lies in the kernel, because gRPC has not got round to it,
// is no silence.
func TestAConnectionIsNotEndedForTheServersSlowness(t *testing.T) {
	t.Parallel()
	for late := 0; !calledBeforeTheHandshake(t); late++ {
		require.Less(t, late, tries)
	}
}

// calledBeforeTheHandshake reports whether a client was answered that had called,
// as far as it can, before the server came to its handshake. If not, it took too
// long afterwards, when it was its turn.
func calledBeforeTheHandshake(t *testing.T) bool {
	m := manager(t, shutdown.Config{})
	slow := slowCreds{insecure.NewCredentials(), newGate(t)}
	addr := start(t, newServer(m, service{}, grpc.Creds(slow)))
	wrote := make(chan struct{})
	l := new(line)
	say := grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := l.dial(ctx, addr)
		return &saying{Conn: conn, wrote: sync.OnceFunc(func() { close(wrote) })}, err
	})
	answer := later(t, client(t, addr, append(l.options(insecure.NewCredentials()), say)...))
	within(t, "the client's preface", wrote)
	within(t, "the handshake", slow.gate.entered)
	ended := wait(m)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	silent := m.Report().Begun
	eventually(t, "the silent ones' time to pass, twice", func() bool { return time.Since(silent) > 600*time.Millisecond })
	opened := time.Now()
	slow.gate.Open()
	err := within(t, "the answer", answer)
	// It is waited for for a second in all, of which enough has to be left.
	late := l.connection().late(opened) || opened.Sub(silent) > 700*time.Millisecond
	require.NoError(t, within(t, "the end", ended))
	if err != nil && late {
		return false
	}
	require.NoError(t, err)
	return true
}

// saying is a connection that says when its first write has been done.
type saying struct {
	net.Conn
	wrote func()
}

func (c *saying) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wrote()
	return n, err
}

// slowCreds do not come to the handshake until the gate is opened.
type slowCreds struct {
	credentials.TransportCredentials
	gate *gate
}

func (c slowCreds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	_ = c.gate.pass(context.Background())
	return c.TransportCredentials.ServerHandshake(conn)
}

func (c slowCreds) Clone() credentials.TransportCredentials { return c }
