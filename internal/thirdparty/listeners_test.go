package thirdparty

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cloudflare/tableflip"
	"github.com/pires/go-proxyproto"
	"github.com/soheilhy/cmux"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testclock"
	"github.com/gracefulgo/shutdown/listener"
)

// .ci/nightly runs 20 shutdowns.
var shutdowns = flag.Int("shutdowns", 5, "shutdowns of each kind of listener and arrangement of servers")

const (
	clients    = 32
	longEnough = 30 * time.Second // bounds the shutdowns of one kind
)

// counting counts connections, as wrappers in many programs do.
type counting struct {
	*listener.Listener
	n atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

// hiding is a wrapper in which listener.New cannot find the Listener.
type hiding struct{ inside net.Listener }

func (h hiding) Accept() (net.Conn, error) { return h.inside.Accept() }
func (h hiding) Close() error              { return h.inside.Close() }
func (h hiding) Addr() net.Addr            { return h.inside.Addr() }

// A kind is a kind of listener.
type kind struct {
	name    string
	serve   func(*testing.T, *shutdown.Manager) (addr string) // starts a server on such a listener
	load    func(ctx context.Context, t *testing.T, addr string) calling
	lossy   bool // losses are allowed: the listener is package net's
	longest time.Duration
}

// calling waits for a load that has been started and is warm.
type calling func() load.Result

func on(wrap func(*testing.T, *listener.Listener) net.Listener) func(*testing.T, *shutdown.Manager) string {
	return func(t *testing.T, m *shutdown.Manager) string {
		ln := listen(t)
		serve(t, m, wrap(t, ln))
		return ln.Addr().String()
	}
}

func serve(t *testing.T, m *shutdown.Manager, ln net.Listener) {
	_, err := httpserver.Serve(m, echo(), ln)
	require.NoError(t, err)
}

func echo() *http.Server {
	return &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the client notices an error
		time.Sleep(work)
		_, _ = w.Write(body)
	})}
}

// inBothModes is a load of which half the clients dial for each request, and half keep
// their connection.
func inBothModes(c load.Clients) func(context.Context, *testing.T, string) calling {
	return func(ctx context.Context, t *testing.T, addr string) calling {
		c.Addr, c.N = addr, clients/2
		c.Mode = load.NewConn
		one := c.Start(ctx)
		c.Mode = load.KeepAlive
		two := c.Start(ctx)
		warm(t, one, two)
		return func() load.Result {
			sum := one.Wait()
			sum.Add(two.Wait())
			return sum
		}
	}
}

func inMode(mode load.Mode) func(context.Context, *testing.T, string) calling {
	return func(ctx context.Context, t *testing.T, addr string) calling {
		run := load.Clients{Mode: mode, Addr: addr, N: clients}.Start(ctx)
		warm(t, run)
		return run.Wait
	}
}

func warm(t *testing.T, runs ...*load.Run) {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for _, run := range runs {
		require.NoError(t, run.Warm(ctx, 2))
	}
}

// atTheLimit is a load with more connections than the listener accepts: most of the
// clients are in its queue.
func atTheLimit(ctx context.Context, t *testing.T, addr string) calling {
	run := load.Clients{Mode: load.KeepAlive, Addr: addr, N: clients, Timeout: soon}.Start(ctx)
	eventually(t, "requests of all clients", func() bool { return run.Began() == clients && run.Count() > clients })
	return run.Wait
}

func byCallers(n int, call func(addr string) func(context.Context) error) func(context.Context, *testing.T, string) calling {
	return func(ctx context.Context, t *testing.T, addr string) calling {
		c := startCallers(ctx, n, call(addr))
		eventually(t, "an answer to each caller", c.warm)
		return c.wait
	}
}

func httpAndGRPC(ctx context.Context, t *testing.T, addr string) calling {
	run := load.Clients{Addr: addr, N: clients / 2}.Start(ctx)
	rpcs := byCallers(clients/2, overGRPC)(ctx, t, addr)
	warm(t, run)
	return func() load.Result {
		sum := run.Wait()
		sum.Add(rpcs())
		return sum
	}
}

// serveCMux serves HTTP and gRPC on one port.
func serveCMux(t *testing.T, m *shutdown.Manager) string {
	ln := listen(t)
	mux := cmux.New(ln)
	rpcs := mux.MatchWithWriters(cmux.HTTP2MatchHeaderFieldSendSettings("content-type", "application/grpc"))
	others := mux.Match(cmux.Any())
	srv := grpcserver.NewServer(m)
	grpc_testing.RegisterTestServiceServer(srv, rpcServer{})
	require.NoError(t, srv.Serve(rpcs))
	serve(t, m, others)
	served := make(chan error, 1)
	go func() { served <- mux.Serve() }()
	t.Cleanup(func() { require.ErrorIs(t, within(t, "the end of cmux", served), net.ErrClosed) })
	return ln.Addr().String()
}

// asSystemdPassesIt serves on a listener made from a descriptor.
func asSystemdPassesIt(t *testing.T, m *shutdown.Manager) string {
	parent, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	file, err := parent.(*net.TCPListener).File()
	require.NoError(t, err)
	ln, err := net.FileListener(file)
	require.NoError(t, err)
	// systemd would keep its descriptor, and the port open. Here the clients end when
	// they are refused.
	require.NoError(t, file.Close())
	require.NoError(t, parent.Close())
	serve(t, m, ln)
	return ln.Addr().String()
}

func TestNoRequestIsLostBehindWrappedListeners(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("zero loss is promised on Linux only, which can stop new handshakes")
	}
	server, trust := certificate(t)
	direct := func(_ *testing.T, ln *listener.Listener) net.Listener { return ln }
	kinds := []*kind{
		{name: "none around it", serve: on(direct), load: inBothModes(load.Clients{})},
		{name: "tls.NewListener", load: inBothModes(load.Clients{TLS: trust}),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return tls.NewListener(ln, server) })},
		{name: "proxyproto, with its header", load: byCallers(clients, viaProxy),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return &proxyproto.Listener{Listener: ln} })},
		{name: "proxyproto, without", load: inBothModes(load.Clients{}),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return &proxyproto.Listener{Listener: ln} })},
		{name: "tls around proxyproto", load: inBothModes(load.Clients{TLS: trust}),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener {
				return tls.NewListener(&proxyproto.Listener{Listener: ln}, server)
			})},
		{name: "LimitListener, with room", load: inBothModes(load.Clients{}),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return netutil.LimitListener(ln, 2*clients) })},
		{name: "LimitListener of 8, new connections", load: inMode(load.NewConn),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return netutil.LimitListener(ln, 8) })},
		{name: "LimitListener of 8, keep-alive", load: atTheLimit,
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return netutil.LimitListener(ln, 8) })},
		{name: "one that counts", load: inBothModes(load.Clients{}),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return &counting{Listener: ln} })},
		{name: "one that hides it, with Around", load: inBothModes(load.Clients{}),
			serve: on(func(_ *testing.T, ln *listener.Listener) net.Listener { return listener.Around(hiding{ln}, ln) })},
		{name: "cmux, HTTP and gRPC", serve: serveCMux, load: httpAndGRPC},
		{name: "net.FileListener", serve: asSystemdPassesIt, load: inBothModes(load.Clients{}), lossy: true},
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "kind\tshutdowns\trequests\tlost\theld up\texit\tlongest drain")
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			result, rounds := k.measure(t)
			fmt.Fprintf(w, "%s\t%d\t%d\t%d %s\t%d\t0\t%v\n", k.name, rounds, result.Requests, result.Losses(), result.Kinds(), result.HeldUp, k.longest.Round(time.Millisecond))
			if !k.lossy {
				require.Zero(t, result.Losses(), "%s, connections were idle for %v", result.Kinds(), result.IdleBefore)
			}
		})
	}
	w.Flush()
	t.Logf("\n%s", table.String())
}

func (k *kind) measure(t *testing.T) (sum load.Result, rounds int) {
	more := testclock.Repetitions(t, longEnough)
	for rounds < *shutdowns && more() {
		t.Run("", func(t *testing.T) {
			m := manager(t, shutdown.Config{}, nil)
			addr := k.serve(t, m)
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			result := k.load(ctx, t, addr)
			began := time.Now()
			require.NoError(t, end(t, m))
			k.longest = max(k.longest, time.Since(began))
			sum.Add(result())
		})
		rounds++
		if t.Failed() {
			break
		}
	}
	return sum, rounds
}

// Two servers have a socket each on the same port, as in a restart: one drains, the
// other continues to serve.
func TestNoRequestIsLostInARestartWithReusePort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("zero loss is promised on Linux only, which can stop new handshakes")
	}
	var sum load.Result
	var longest time.Duration
	more, rounds := testclock.Repetitions(t, longEnough), 0
	for ; rounds < *shutdowns && more(); rounds++ {
		addr := loopback.Addr()
		begin := func() *shutdown.Manager {
			ln, err := listener.ListenWith(t.Context(), net.ListenConfig{Control: reusePort}, "tcp", addr)
			require.NoError(t, err)
			addr = ln.Addr().String()
			m := manager(t, shutdown.Config{}, nil)
			serve(t, m, ln)
			return m
		}
		before, after := begin(), begin()
		ctx, stop := context.WithCancel(context.Background())
		result := inBothModes(load.Clients{})(ctx, t, addr)
		began := time.Now()
		require.NoError(t, end(t, before))
		longest = max(longest, time.Since(began))
		// The other server accepts all new connections.
		run := load.Clients{Addr: addr, N: clients}.Start(ctx)
		warm(t, run)
		require.NoError(t, end(t, after))
		stop()
		sum.Add(result())
		sum.Add(run.Wait())
	}
	t.Logf("SO_REUSEPORT: %d restarts, %d requests, lost %d %s, held up %d, exit 0, longest drain %v", rounds, sum.Requests, sum.Losses(), sum.Kinds(), sum.HeldUp, longest.Round(time.Millisecond))
	require.Zero(t, sum.Losses(), sum.Kinds())
}

// An Upgrader keeps a copy of each listener for a child process, so the port stays
// open after the drain, and new connections wait for that child.
func TestAListenerOfTableflipDoesNotHoldTheShutdown(t *testing.T) {
	upgrader := newUpgrader(t)
	var sum load.Result
	var longest time.Duration
	const rounds = 5
	for range rounds {
		m := manager(t, shutdown.Config{}, nil)
		ln, err := upgrader.Listen("tcp", loopback.Addr())
		require.NoError(t, err)
		serve(t, m, ln)
		ctx, stop := context.WithCancel(context.Background())
		result := inBothModes(load.Clients{Timeout: time.Second})(ctx, t, ln.Addr().String())
		began := time.Now()
		require.NoError(t, end(t, m))
		longest = max(longest, time.Since(began))
		stop()
		sum.Add(result())
	}
	t.Logf("tableflip: %d shutdowns, %d requests, without an answer %d %s, exit 0, longest drain %v", rounds, sum.Requests, sum.Losses(), sum.Kinds(), longest.Round(time.Millisecond))
}

// upgrader is the one Upgrader that a process may have.
var upgrader *tableflip.Upgrader

func newUpgrader(t *testing.T) *tableflip.Upgrader {
	if upgrader == nil {
		var err error
		upgrader, err = tableflip.New(tableflip.Options{})
		require.NoError(t, err)
		require.NoError(t, upgrader.Ready())
	}
	return upgrader
}
