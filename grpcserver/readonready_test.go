package grpcserver_test

import (
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// Without ReadOnReady it needs five times as much. Memory of earlier tests may be freed
// during the measurement, so there is more than one try.
func TestAnIdleConnectionNeedsAsLittleMemoryAsWithGRPCAlone(t *testing.T) {
	for try := 1; ; try++ {
		library, plain := memories(t)
		t.Logf("bytes a connection: grpcserver %d, Serve %d", library, plain)
		if library < 2*plain {
			return
		}
		require.Less(t, try, 5)
	}
}

func memories(t *testing.T) (library, plain int64) {
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	srv := grpc.NewServer()
	pb.RegisterTestServiceServer(srv, service{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	plain = memoryOfIdle(t, ln.Addr().String())
	srv.Stop()
	require.NoError(t, within(t, "Serve", served))

	m := manager(t, shutdown.Config{})
	library = memoryOfIdle(t, start(t, newServer(m, service{})))
	require.NoError(t, end(t, m))
	return library, plain
}

// memoryOfIdle returns how many bytes of the heap an idle connection needs.
func memoryOfIdle(t *testing.T, addr string) int64 {
	const conns = 200
	before := heap()
	for range conns {
		conn := dialRaw(t, addr)
		defer conn.Close()
		_, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		require.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 15+9))
		require.NoError(t, err, "SETTINGS and the acknowledgement of the client's")
	}
	return (heap() - before) / conns
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // pools keep their items for two cycles
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
