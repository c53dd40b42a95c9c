package grpcserver_test

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// With -count, only the first run has thirty rounds; the others are there to find races.
var again atomic.Bool

// The same load, with the library and without it in turn.
func TestNoRPCIsLostUnderLoad(t *testing.T) {
	rounds := 30
	if again.Swap(true) {
		rounds = 3
	}
	for _, mode := range []struct {
		name    string
		perCall bool
		loses   bool // without the library, in every measurement so far
	}{
		{"a connection for each call", true, true},
		{"a shared connection", false, false},
	} {
		t.Run(mode.name, func(t *testing.T) {
			var answered, lost, plainAnswered, plainLost int64
			for range rounds {
				requireNoLoss(t, func() []*crowd {
					c := ended(t, mode.perCall)
					answered, lost = answered+c.answered.Load(), lost+c.lost.Load()
					return []*crowd{c}
				})
				plain := endedPlainly(t, mode.perCall)
				plainAnswered, plainLost = plainAnswered+plain.answered.Load(), plainLost+plain.lost.Load()
			}
			t.Logf("%d shutdowns each: grpcserver lost %d of %d, GracefulStop %d of %d", rounds, lost, answered+lost, plainLost, plainAnswered+plainLost)
			require.Zero(t, lost)
			for more := 0; mode.loses && rounds == 30 && plainLost == 0; more++ {
				require.Less(t, more, 10*rounds, "GracefulStop alone loses nothing, so this proves nothing")
				plainLost += endedPlainly(t, mode.perCall).lost.Load()
			}
		})
	}
}

func ended(t *testing.T, perCall bool) *crowd {
	m := manager(t, shutdown.Config{})
	c := &crowd{addr: start(t, newServer(m, service{})), perCall: perCall}
	c.start(t)
	c.warm(t)
	require.NoError(t, end(t, m))
	c.end(t)
	return c
}

func endedPlainly(t *testing.T, perCall bool) *crowd {
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	srv := grpc.NewServer()
	pb.RegisterTestServiceServer(srv, service{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	c := &crowd{addr: ln.Addr().String(), perCall: perCall}
	c.start(t)
	c.warm(t)
	srv.GracefulStop()
	require.NoError(t, within(t, "Serve", served))
	c.end(t)
	return c
}
