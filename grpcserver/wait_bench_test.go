package grpcserver_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
)

// BenchmarkWait measures the time from the end of the last RPC to the end of the
// shutdown, for RPCs of different lengths.
//
//	go test -run '^$' -bench Wait -benchtime 5x ./grpcserver
func BenchmarkWait(b *testing.B) {
	for _, ms := range []int{10, 100, 1000} {
		after := time.Duration(ms) * time.Millisecond
		b.Run(fmt.Sprintf("server=shutdown/rpc=%v", after), func(b *testing.B) {
			lateness(b, after, func(s service) (addr string, stop func()) {
				m := manager(b, shutdown.Config{})
				return start(b, newServer(m, s)), func() {
					m.Begin(nil)
					require.NoError(b, m.Wait())
				}
			})
		})
		b.Run(fmt.Sprintf("server=plain/rpc=%v", after), func(b *testing.B) {
			lateness(b, after, func(s service) (addr string, stop func()) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(b, err)
				srv := grpc.NewServer()
				pb.RegisterTestServiceServer(srv, s)
				go func() { _ = srv.Serve(ln) }()
				return ln.Addr().String(), srv.GracefulStop
			})
		})
	}
}

// lateness reports the time from the end of an RPC to the end of stop.
func lateness(b *testing.B, after time.Duration, start func(service) (addr string, stop func())) {
	var sum, worst time.Duration
	for b.Loop() {
		begun, inside := make(chan struct{}), make(chan struct{})
		var ended time.Time
		addr, stop := start(service{unary: func(context.Context) error {
			close(inside)
			<-begun
			time.Sleep(after)
			ended = time.Now()
			return nil
		}})
		answered := later(b, client(b, addr))
		<-inside
		close(begun)
		stop()
		late := time.Since(ended)
		require.NoError(b, <-answered)
		sum, worst = sum+late, max(worst, late)
	}
	b.ReportMetric(float64(sum.Microseconds())/1000/float64(b.N), "ms-late")
	b.ReportMetric(float64(worst.Microseconds())/1000, "ms-late-worst")
	b.ReportMetric(0, "ns/op") // mostly sleep
}
