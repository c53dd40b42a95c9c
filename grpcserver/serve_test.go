package grpcserver

import (
	"context"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// A Start that has seen a Manager still Running, and comes when the other
// listeners have drained.
func TestAServerThatStopsTakesNoFurtherListener(t *testing.T) {
	m, err := shutdown.New(shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := NewServer(m)
	require.NoError(t, s.join(ln))
	m.Begin(nil)
	s.conns.mu.Lock() // holds it up in linger
	left := make(chan error, 1)
	go func() { left <- s.leave(context.Background()) }()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.stopping
	}, 20*time.Second, time.Millisecond)
	err = s.join(ln)
	s.conns.mu.Unlock()
	require.ErrorContains(t, err, "the shutdown has begun")
	require.NoError(t, m.Wait())
	<-left
	require.NoError(t, ln.Close())
}
