package grpcserver_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// gateway is a handler that calls addr, after a while.
func gateway(t testing.TB, addr string, pause func()) http.Handler {
	c := client(t, addr)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pause()
		resp, err := c.UnaryCall(r.Context(), &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("called")}})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = w.Write(resp.GetPayload().GetBody())
	})
}

type answer struct {
	status int
	body   string
	err    error
}

func get(t testing.TB, url string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answers <- answer{resp.StatusCode, string(body), err}
	}()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return answers
}

// A request that is under way when Drain begins calls the gRPC server after
// that; with Start instead of StartBehind it is too late.
func TestAServerBehindAGatewayDrainsAfterIt(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]bool{"behind": true, "negative control: beside": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			front := &http.Server{ErrorLog: log.New(io.Discard, "", 0)}
			srv := newServer(m, service{})
			if behind {
				require.NoError(t, grpcserver.StartBehind(m, front, srv, loopback.Addr()))
			} else {
				require.NoError(t, grpcserver.Start(m, srv, loopback.Addr()))
			}
			addr := address(t, m)
			front.Handler = gateway(t, addr, func() { _ = g.pass(t.Context()) })
			httpLn := listen(t)
			require.NoError(t, httpserver.StartListener(m, front, httpLn))
			held := get(t, "http://"+httpLn.Addr().String())
			within(t, "the request", g.entered)

			ended := wait(m)
			m.Begin(nil)
			waitPhase(t, m, shutdown.Drain)
			if !behind {
				eventually(t, "the gRPC server's end", func() bool {
					for _, s := range m.Report().Steps {
						if s.Name == "grpc "+addr && !s.Running {
							return true
						}
					}
					return false
				})
			}
			g.Open()
			got := within(t, "the answer", held)
			require.NoError(t, got.err)
			if !behind {
				require.Equal(t, http.StatusBadGateway, got.status, got.body)
				return
			}
			require.Equal(t, answer{http.StatusOK, "called", nil}, got)
			require.NoError(t, within(t, "the end", ended))
		})
	}
}

func TestAFrontThatNeverStartedIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	busy := listen(t)
	front := &http.Server{Addr: busy.Addr().String()}
	require.NoError(t, grpcserver.StartBehind(m, front, newServer(m, service{}), loopback.Addr()))
	err := httpserver.Start(m, front)
	require.Error(t, err)
	begun := time.Now()
	m.Begin(err)
	require.ErrorIs(t, within(t, "the end", wait(m)), err)
	require.Less(t, time.Since(begun), soon)
}

// A front that does not come to an end leaves the server behind it what
// WorkContext leaves to everyone.
func TestAFrontThatHangsDoesNotHoldTheServerBehindIt(t *testing.T) {
	t.Parallel()
	notHeldUp(t, func() error { return besideAFrontThatHangs(t) })
}

// besideAFrontThatHangs returns how the server's drain has ended.
func besideAFrontThatHangs(t *testing.T) (err error) {
	m, g := manager(t, roomyBudget), newGate(t)
	front := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { _ = g.pass(t.Context()) })}
	httpLn := listen(t)
	require.NoError(t, grpcserver.StartBehind(m, front, newServer(m, service{}), loopback.Addr()))
	require.NoError(t, httpserver.StartListener(m, front, httpLn))
	held := get(t, "http://"+httpLn.Addr().String())
	within(t, "the request", g.entered)
	require.ErrorIs(t, end(t, m), shutdown.ErrTimeout)
	for _, s := range m.Report().Steps {
		if strings.HasPrefix(s.Name, "grpc ") {
			err = s.Err
			if s.LeftBehind {
				err = errors.New("left behind")
			}
		}
	}
	g.Open()
	require.Error(t, within(t, "the answer", held).err)
	return err
}

// gRPC through ServeHTTP: httpserver counts, cancels and drains.
func TestBehindNetHTTPAnRPCIsARequest(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	seen := make(chan context.Context, 1)
	srv := newServer(m, service{
		unary: func(ctx context.Context) error {
			seen <- ctx
			return g.pass(ctx)
		},
		stream: func(s pb.TestService_FullDuplexCallServer) error { return g.pass(s.Context()) },
	})
	front := &http.Server{Handler: srv, Protocols: new(http.Protocols)}
	front.Protocols.SetUnencryptedHTTP2(true)
	ln := listen(t)
	require.NoError(t, httpserver.StartListener(m, front, ln))
	c := client(t, ln.Addr().String())
	answer := later(t, c)
	within(t, "the call", g.entered)
	stream, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	within(t, "the stream", g.entered)
	require.Equal(t, []string{"POST /grpc.testing.TestService/UnaryCall", "POST /grpc.testing.TestService/FullDuplexCall"}, taskNames(m))
	ctx := within(t, "the context", seen)
	got, ok := shutdown.FromContext(ctx)
	require.True(t, ok)
	require.Same(t, m, got)

	ended := wait(m)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	require.NoError(t, ctx.Err())
	g.Open()
	require.NoError(t, within(t, "the answer", answer))
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, within(t, "the end", ended))
}

// The same server on a port of its own as well: GracefulStop cuts off the RPCs of
// ServeHTTP, so it has to come after them.
func TestAServerThatAlsoServesHTTPDrainsBehindIt(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]bool{"behind": true, "negative control: beside": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			seen := make(chan context.Context, 1)
			srv := newServer(m, service{unary: func(ctx context.Context) error {
				seen <- ctx
				return g.pass(ctx)
			}})
			front := &http.Server{Handler: srv, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
			front.Protocols.SetUnencryptedHTTP2(true)
			if behind {
				require.NoError(t, grpcserver.StartBehind(m, front, srv, loopback.Addr()))
			} else {
				require.NoError(t, grpcserver.Start(m, srv, loopback.Addr()))
			}
			ln := listen(t)
			require.NoError(t, httpserver.StartListener(m, front, ln))
			answer := later(t, client(t, ln.Addr().String()))
			within(t, "the call", g.entered)
			ctx := within(t, "its context", seen)
			ended := wait(m)
			m.Begin(nil)
			waitPhase(t, m, shutdown.Drain)
			if !behind {
				within(t, "the call being cut off", ctx.Done())
				require.NoError(t, m.WorkContext().Err(), "long before its time")
				return
			}
			require.NoError(t, ctx.Err())
			g.Open()
			require.NoError(t, within(t, "the answer", answer))
			require.NoError(t, within(t, "the end", ended))
		})
	}
}
