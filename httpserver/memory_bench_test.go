package httpserver_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// BenchmarkIdle measures the heap and the stacks of an idle connection that has had one
// request. The result includes the client, which is the same with and without the
// library.
//
//	go test -run '^$' -bench Idle -benchtime 5x ./httpserver
func BenchmarkIdle(b *testing.B) {
	b.Run("server=shutdown", func(b *testing.B) { idle(b, startLibrary) })
	b.Run("server=plain", func(b *testing.B) { idle(b, startPlain) })
}

func startLibrary(b *testing.B, srv *http.Server) (addr string, stop func()) {
	m, err := shutdown.New(shutdown.Config{Signals: shutdown.NoSignals(), LameDuck: -1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	s, err := httpserver.Start(m, srv)
	require.NoError(b, err)
	return s.Addr().String(), func() {
		m.Begin(nil)
		require.NoError(b, m.Wait())
	}
}

func startPlain(b *testing.B, srv *http.Server) (addr string, stop func()) {
	ln, err := net.Listen("tcp", srv.Addr)
	require.NoError(b, err)
	go func() { _ = srv.Serve(ln) }()
	return ln.Addr().String(), func() { require.NoError(b, srv.Shutdown(context.Background())) }
}

func idle(b *testing.B, start func(*testing.B, *http.Server) (addr string, stop func())) {
	const n = 8_000
	measure := func() float64 {
		goroutines := runtime.NumGoroutine()
		addr, stop := start(b, &http.Server{Addr: "127.0.0.1:0", ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
		})})
		before := inUse()
		var all []net.Conn
		for range n {
			c, err := net.Dial("tcp", addr)
			require.NoError(b, err)
			all = append(all, c)
			_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
			require.NoError(b, err)
			res, err := http.ReadResponse(bufio.NewReaderSize(c, 256), nil)
			require.NoError(b, err)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(b, err)
		}
		used := inUse() - before
		for _, c := range all {
			_ = c.Close()
		}
		stop()
		for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
			require.True(b, time.Now().Before(end), "%d goroutines of the server are left", runtime.NumGoroutine()-goroutines)
		}
		return used / n
	}
	measure() // from now on it includes what the runtime keeps for goroutines that have ended
	var sum float64
	for b.Loop() {
		sum += measure()
	}
	b.ReportMetric(sum/float64(b.N), "B/conn")
	b.ReportMetric(0, "ns/op") // of the clients
}

func inUse() float64 {
	for range 4 { // a sync.Pool keeps its items for two cycles
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) + float64(m.StackInuse)
}
