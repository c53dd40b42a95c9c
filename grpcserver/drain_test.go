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

// Start may check that the Manager is Running, and add its listener when the others have
// drained.
func TestAServerThatIsStoppingTakesNoListener(t *testing.T) {
	m, err := shutdown.New(shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := NewServer(m)
	require.NoError(t, s.addListener(ln))
	m.Begin(nil)
	s.conns.mu.Lock() // blocks linger
	drained := make(chan error, 1)
	go func() { drained <- s.listenerDrained(context.Background()) }()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.stopping
	}, 20*time.Second, time.Millisecond)
	err = s.addListener(ln)
	s.conns.mu.Unlock()
	require.ErrorContains(t, err, "the shutdown has begun")
	require.NoError(t, m.Wait())
	<-drained
	require.NoError(t, ln.Close())
}
