package thirdparty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// perShutdown is how many calls are held in the front server when a shutdown begins:
// 500 in 20 shutdowns.
const perShutdown = 25

// A drainer is a Server of httpserver or grpcserver.
type drainer interface {
	Drained() <-chan struct{}
	DrainAfter(channels ...<-chan struct{})
}

// A call is a call of the server behind, made by a handler of the front server.
type call func(context.Context) error

// behind starts the server that is called by the handlers of the front server.
var behind = map[string]func(*testing.T, *shutdown.Manager) (drainer, call){
	"HTTP": func(t *testing.T, m *shutdown.Manager) (drainer, call) {
		s, err := httpserver.Start(m, &http.Server{Addr: loopback.Addr(), Handler: echo().Handler})
		require.NoError(t, err)
		c := client(t, &http.Transport{DisableKeepAlives: true}) // it dials for each
		return s, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr().String(), nil)
			if err != nil {
				return err
			}
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return errors.Join(err, resp.Body.Close())
		}
	},
	"gRPC, TCP": func(t *testing.T, m *shutdown.Manager) (drainer, call) {
		s := rpcs(m)
		require.NoError(t, s.Start(loopback.Addr()))
		return s, rpc(t, s.Addr().String())
	},
	"gRPC, Unix": func(t *testing.T, m *shutdown.Manager) (drainer, call) {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := net.Listen("unix", path)
		require.NoError(t, err)
		s := rpcs(m)
		require.NoError(t, s.Serve(ln))
		return s, rpc(t, "unix:"+path)
	},
	"gRPC, bufconn": func(t *testing.T, m *shutdown.Manager) (drainer, call) {
		ln := bufconn.Listen(1 << 20)
		s := rpcs(m)
		require.NoError(t, s.Serve(ln))
		return s, rpc(t, "passthrough:///bufconn", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return ln.DialContext(ctx)
		}))
	},
}

func rpcs(m *shutdown.Manager) *grpcserver.Server {
	s := grpcserver.NewServer(m)
	pb.RegisterTestServiceServer(s, rpcServer{})
	return s
}

func rpc(t *testing.T, target string, opts ...grpc.DialOption) call {
	conn, err := grpc.NewClient(target, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // the server has ended
	return func(ctx context.Context) error {
		_, err := pb.NewTestServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{})
		return err
	}
}

// An arrangement is a server behind one or more front servers.
type arrangement struct {
	behind string
	fronts int
	// front returns a handler that waits for hold and then makes its call.
	front func(m *shutdown.Manager, entered chan<- struct{}, hold <-chan struct{}, c call) http.Handler
	// clientOf sends a request to a front server.
	clientOf func(t *testing.T, addr string) <-chan error
}

func httpFront(_ *shutdown.Manager, entered chan<- struct{}, hold <-chan struct{}, c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-hold
		if err := c(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
}

func httpClient(t *testing.T, addr string) <-chan error {
	result := make(chan error, 1)
	c := client(t, &http.Transport{})
	go func() {
		r := get(t, c, "http://"+addr)
		if r.err == nil && r.status != http.StatusOK {
			r.err = fmt.Errorf("status %d: %s", r.status, r.body)
		}
		result <- r.err
	}()
	return result
}

// webSocketFront answers each message with the result of its call, and closes the
// WebSocket when Drain begins.
func webSocketFront(m *shutdown.Manager, entered chan<- struct{}, hold <-chan struct{}, c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		defer conn.Close()
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
			entered <- struct{}{}
			<-hold
			text := "ok"
			if err := c(r.Context()); err != nil {
				text = err.Error()
			}
			_ = conn.WriteMessage(gorilla.TextMessage, []byte(text)) // the client notices an error
			select {
			case <-m.Reached(shutdown.Drain):
				_ = conn.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseGoingAway, ""))
				return
			default:
			}
		}
	})
}

func webSocketClient(t *testing.T, addr string) <-chan error {
	result := make(chan error, 1)
	go func() {
		result <- func() error {
			conn, resp, err := gorilla.DefaultDialer.DialContext(t.Context(), "ws://"+addr, nil)
			if err != nil {
				return err
			}
			defer conn.Close()
			defer resp.Body.Close()
			if err := conn.WriteMessage(gorilla.TextMessage, []byte("call")); err != nil {
				return err
			}
			switch _, text, err := conn.ReadMessage(); {
			case err != nil:
				return err
			case string(text) != "ok":
				return errors.New(string(text))
			}
			_, _, err = conn.ReadMessage()
			if !gorilla.IsCloseError(err, gorilla.CloseGoingAway) {
				return fmt.Errorf("no close message: %w", err)
			}
			return nil
		}()
	}()
	return result
}

// run starts a shutdown while calls are held in the front servers, and releases them
// when Drain has begun. Without DrainAfter the server behind has drained by then.
func (a arrangement) run(t *testing.T, ordered bool) (failed int) {
	m := manager(t, shutdown.Config{}, nil)
	entered, hold := make(chan struct{}, perShutdown), make(chan struct{})
	inner, c := behind[a.behind](t, m)
	require.NoError(t, c(t.Context()), "before the shutdown")
	var (
		addrs []string
		after []<-chan struct{}
	)
	for range a.fronts {
		s, err := httpserver.Start(m, &http.Server{
			Addr: loopback.Addr(), Handler: a.front(m, entered, hold, c), ErrorLog: log.New(io.Discard, "", 0),
		})
		require.NoError(t, err)
		addrs, after = append(addrs, s.Addr().String()), append(after, s.Drained())
	}
	if ordered {
		inner.DrainAfter(after...)
	}
	var results []<-chan error
	for i := range perShutdown {
		results = append(results, a.clientOf(t, addrs[i%len(addrs)]))
	}
	for range perShutdown {
		within(t, "a call in the front server", entered)
	}
	m.Begin(nil)
	ended := wait(m)
	within(t, "the drain", m.Reached(shutdown.Drain))
	if ordered {
		select {
		case <-inner.Drained():
			t.Error("the server behind has drained before those that call it")
		case <-time.After(100 * time.Millisecond):
		}
	} else {
		within(t, "the end of the server behind", inner.Drained())
	}
	close(hold)
	for _, result := range results {
		if err := within(t, "an answer", result); err != nil {
			failed++
			if ordered {
				t.Error(err)
			}
		}
	}
	require.NoError(t, within(t, "the end of the shutdown", ended))
	within(t, "the end of the server behind", inner.Drained())
	return failed
}

func TestDrainAfterDrainsServersInOrder(t *testing.T) {
	arrangements := map[string]arrangement{
		"HTTP, behind HTTP":               {"HTTP", 1, httpFront, httpClient},
		"gRPC on TCP, behind HTTP":        {"gRPC, TCP", 1, httpFront, httpClient},
		"gRPC on Unix, behind HTTP":       {"gRPC, Unix", 1, httpFront, httpClient},
		"gRPC on bufconn, behind HTTP":    {"gRPC, bufconn", 1, httpFront, httpClient},
		"HTTP, behind two":                {"HTTP", 2, httpFront, httpClient},
		"gRPC on TCP, behind a WebSocket": {"gRPC, TCP", 1, webSocketFront, webSocketClient},
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tFAILED\tWITHOUT DrainAfter")
	for name, a := range arrangements {
		t.Run(name, func(t *testing.T) {
			var failed, without int
			for range *shutdowns {
				failed += a.run(t, true)
				n := a.run(t, false)
				require.Equal(t, perShutdown, n, "negative control: each held call fails without DrainAfter")
				without += n
			}
			all := *shutdowns * perShutdown
			fmt.Fprintf(table, "%s\t%d of %d\t%d of %d\n", name, failed, all, without, all)
			require.Zero(t, failed)
		})
	}
	_ = table.Flush()
	t.Logf("\n%s", &text)
}
