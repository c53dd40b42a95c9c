package grpcserver_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
)

// BenchmarkUnary measures a unary RPC over loopback, client and server together: without
// the library, with Options alone, and with Start.
//
//	go test -run '^$' -bench Unary -count 20 ./grpcserver | benchstat -col /server -
func BenchmarkUnary(b *testing.B) {
	plain := func(b *testing.B, srv *grpc.Server) (addr string) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		go func() { _ = srv.Serve(ln) }()
		b.Cleanup(srv.Stop)
		return ln.Addr().String()
	}
	b.Run("server=plain", func(b *testing.B) {
		srv := grpc.NewServer()
		pb.RegisterTestServiceServer(srv, service{})
		unary(b, plain(b, srv))
	})
	b.Run("server=options", func(b *testing.B) {
		unary(b, plain(b, newServer(manager(b, shutdown.Config{}), service{}).Server))
	})
	b.Run("server=start", func(b *testing.B) {
		m := manager(b, shutdown.Config{})
		unary(b, start(b, newServer(m, service{})))
	})
}

func unary(b *testing.B, addr string) {
	c := client(b, addr)
	require.NoError(b, call(b, c))
	ctx, req := b.Context(), &pb.SimpleRequest{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.UnaryCall(ctx, req); err != nil {
			b.Fatal(err)
		}
	}
}
