package grpcserver_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// gateway returns a handler that calls the server at addr after a pause.
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

// A request that is in flight when Drain starts calls the gRPC server later. Without
// DrainAfter it is too late.
func TestAServerDrainsAfterItsGateway(t *testing.T) {
	t.Parallel()
	for name, drainAfter := range map[string]bool{"with DrainAfter": true, "control: without DrainAfter": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			srv := newServer(m, service{})
			addr := start(t, srv)
			front := serveHTTP(t, m, &http.Server{Handler: gateway(t, addr, func() { _ = g.pass(t.Context()) })})
			if drainAfter {
				srv.DrainAfter(front.Drained())
			}
			held := get(t, "http://"+front.Addr().String())
			within(t, "the request", g.entered)

			ended := wait(m)
			m.Begin(nil)
			waitPhase(t, m, shutdown.Drain)
			select {
			case <-srv.Drained():
				require.False(t, drainAfter, "the gRPC server has drained before its gateway")
			case <-time.After(300 * time.Millisecond): // there is no event to wait for
			}
			if !drainAfter {
				within(t, "the gRPC server's end", srv.Drained())
			}
			g.Open()
			got := within(t, "the answer", held)
			require.NoError(t, got.err)
			if !drainAfter {
				require.Equal(t, http.StatusBadGateway, got.status, got.body)
				return
			}
			require.Equal(t, answer{http.StatusOK, "called", nil}, got)
			require.NoError(t, within(t, "the end", ended))
			within(t, "the gRPC server", srv.Drained())
		})
	}
}

// serveHTTP starts an HTTP server.
func serveHTTP(t *testing.T, m *shutdown.Manager, srv *http.Server) *httpserver.Server {
	t.Helper()
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.New(io.Discard, "", 0)
	}
	front, err := httpserver.Serve(m, srv, listen(t))
	require.NoError(t, err)
	return front
}

// If the gateway does not drain, its server drains at the end of WorkContext.
func TestAGatewayThatHangsDoesNotBlockTheDrainOfItsServer(t *testing.T) {
	t.Parallel()
	retry(t, func() error { return drainWithHangingGateway(t) })
}

// drainWithHangingGateway returns the error of the gRPC server's drain.
func drainWithHangingGateway(t *testing.T) (err error) {
	var log output
	cfg := roomyBudget
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m, g := manager(t, cfg), newGate(t)
	srv := newServer(m, service{})
	start(t, srv)
	front := serveHTTP(t, m, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { _ = g.pass(t.Context()) })})
	srv.DrainAfter(front.Drained())
	held := get(t, "http://"+front.Addr().String())
	within(t, "the request", g.entered)
	require.ErrorIs(t, end(t, m), shutdown.ErrTimeout)
	said := log.lines("not waited for any longer")
	require.Len(t, said, 1)
	require.Contains(t, said[0], `level=WARN`)
	require.Contains(t, said[0], `hook="grpc `+srv.Addr().String()+`" waiting_for="http `+front.Addr().String()+`"`)
	for _, s := range m.Report().Steps {
		if strings.HasPrefix(s.Name, "grpc ") {
			err = s.Err
			if s.Abandoned {
				err = errors.New("abandoned")
			}
		}
	}
	g.Open()
	require.Error(t, within(t, "the answer", held).err)
	return err
}

// With ServeHTTP, httpserver tracks, cancels and drains.
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
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	front := serveHTTP(t, m, &http.Server{Handler: srv, Protocols: protocols})
	c := client(t, front.Addr().String())
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

// The server also has its own port. GracefulStop cuts off the RPCs of ServeHTTP, so it
// has to be called after them.
func TestAServerWithServeHTTPDrainsAfterTheHTTPServer(t *testing.T) {
	t.Parallel()
	for name, drainAfter := range map[string]bool{"with DrainAfter": true, "control: without DrainAfter": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			seen := make(chan context.Context, 1)
			srv := newServer(m, service{unary: func(ctx context.Context) error {
				seen <- ctx
				return g.pass(ctx)
			}})
			start(t, srv)
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			front := serveHTTP(t, m, &http.Server{Handler: srv, Protocols: protocols})
			if drainAfter {
				srv.DrainAfter(front.Drained())
			}
			answer := later(t, client(t, front.Addr().String()))
			within(t, "the call", g.entered)
			ctx := within(t, "its context", seen)
			ended := wait(m)
			m.Begin(nil)
			waitPhase(t, m, shutdown.Drain)
			if !drainAfter {
				within(t, "the end of the call's context", ctx.Done())
				require.NoError(t, m.WorkContext().Err(), "long before the end of WorkContext")
				return
			}
			require.NoError(t, ctx.Err())
			g.Open()
			require.NoError(t, within(t, "the answer", answer))
			require.NoError(t, within(t, "the end", ended))
		})
	}
}
