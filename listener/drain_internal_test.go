package listener

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// While the queue is full, the kernel completes no handshake.
func TestTheWaitForHandshakesBeginsWhenTheQueueIsEmpty(t *testing.T) {
	l, err := Listen(t.Context(), "tcp", loopback.Addr())
	require.NoError(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	wait := handshakeWait{useful: true}
	require.Eventually(t, func() bool {
		left, _ := l.left(&wait)
		return left == "at least 1 connection in its queue"
	}, time.Minute, time.Millisecond)
	wait = handshakeWait{useful: true}
	l.left(&wait)
	require.Zero(t, wait.begun)
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	l.left(&wait)
	require.NotZero(t, wait.begun)
}
