package httpserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/listener"
)

// BenchmarkWait measures the time from the end of the last request to the end of the
// shutdown, for requests of different lengths. http.Server polls, with pauses of up to
// half a second.
//
//	go test -run '^$' -bench Wait -benchtime 5x ./httpserver
func BenchmarkWait(b *testing.B) {
	for _, ms := range []int{100, 300, 700, 1300, 2500} {
		after := time.Duration(ms) * time.Millisecond
		b.Run(fmt.Sprintf("server=shutdown/request=%v", after), func(b *testing.B) {
			lateness(b, after, func(srv *http.Server) (addr string, stop func()) {
				m, err := shutdown.New(shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, LameDuck: -1, Logger: slog.New(slog.DiscardHandler)})
				require.NoError(b, err)
				ln, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:0")
				require.NoError(b, err)
				_, err = httpserver.Serve(m, srv, ln)
				require.NoError(b, err)
				return ln.Addr().String(), func() {
					m.Begin(nil)
					require.NoError(b, m.Wait())
				}
			})
		})
		b.Run(fmt.Sprintf("server=plain/request=%v", after), func(b *testing.B) {
			lateness(b, after, func(srv *http.Server) (addr string, stop func()) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(b, err)
				served := make(chan struct{})
				go func() { _ = srv.Serve(ln); close(served) }()
				return ln.Addr().String(), func() {
					require.NoError(b, srv.Shutdown(context.Background()))
					<-served
				}
			})
		})
	}
}

// lateness reports the time from the end of a request to the end of stop.
func lateness(b *testing.B, after time.Duration, start func(*http.Server) (addr string, stop func())) {
	var sum, worst time.Duration
	for b.Loop() {
		begun, inside := make(chan struct{}), make(chan struct{})
		var ended time.Time
		addr, stop := start(&http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(inside)
			<-begun
			time.Sleep(after)
			ended = time.Now()
		})})
		answered := make(chan error, 1)
		go func() {
			resp, err := http.Get("http://" + addr)
			if err == nil {
				err = resp.Body.Close()
			}
			answered <- err
		}()
		<-inside
		close(begun)
		stop()
		late := time.Since(ended)
		require.NoError(b, <-answered)
		sum, worst = sum+late, max(worst, late)
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	b.ReportMetric(float64(sum.Microseconds())/1000/float64(b.N), "ms-late")
	b.ReportMetric(float64(worst.Microseconds())/1000, "ms-late-worst")
	b.ReportMetric(0, "ns/op") // mostly sleep
}
