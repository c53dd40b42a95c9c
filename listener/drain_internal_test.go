package listener

import (
	"context"
	"net"
	"runtime"
	"sync"
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
	wait := handshakeWait{bounded: true}
	require.Eventually(t, func() bool {
		left, _ := l.left(&wait)
		return left == "at least 1 connection in its queue"
	}, time.Minute, time.Millisecond)
	wait = handshakeWait{bounded: true}
	l.left(&wait)
	require.Zero(t, wait.begun)
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	l.left(&wait)
	require.NotZero(t, wait.begun)
}

func TestForHowLongADrainWaitsForHandshakes(t *testing.T) {
	for name, test := range map[string]struct {
		refuses bool // new clients
		looks   []handshakeLook
	}{
		"none":                                 {true, []handshakeLook{{0, 0, true, false}}},
		"until it completes":                   {true, []handshakeLook{{0, 1, true, true}, {200, 1, true, true}, {300, 0, true, false}}},
		"longer than the second of a lost ACK": {true, []handshakeLook{{0, 1, true, true}, {1300, 1, true, true}}},
		"not forever":                          {true, []handshakeLook{{0, 1, true, true}, {1500, 1, true, false}}},
		"not if new ones go on starting":       {false, []handshakeLook{{0, 1, true, false}}},
		"not listed, for a while":              {true, []handshakeLook{{0, 0, false, true}, {499, 0, false, true}, {500, 0, false, false}}},
		"not listed, later":                    {true, []handshakeLook{{0, 1, true, true}, {600, 1, true, true}, {700, 0, false, true}, {1099, 0, false, true}, {1100, 0, false, false}}},
		"not listed, and listed again":         {true, []handshakeLook{{0, 0, false, true}, {100, 0, true, false}}},
		"not listed, but not forever":          {true, []handshakeLook{{0, 1, true, true}, {1400, 1, true, true}, {1500, 0, false, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			wait := handshakeWait{bounded: test.refuses}
			for _, look := range test.looks {
				now := begun.Add(time.Duration(look.after) * time.Millisecond)
				require.Equal(t, look.wait, wait.inProgress(now, func() (int, bool) { return look.n, look.ok }), "after %d ms", look.after)
			}
		})
	}
}

type handshakeLook struct {
	after int  // milliseconds
	n     int  // handshakes in progress
	ok    bool // the kernel lists them
	wait  bool
}

// If Drain closed the listener while a call of Accept returns a connection, a mux would
// find the listener closed and close the connection before it has read the first byte.
func TestDrainWaitsForAConnectionThatAcceptIsReturning(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("where new clients cannot be refused, another connection may come at any time")
	}
	base, err := Listen(t.Context(), "tcp", loopback.Addr())
	require.NoError(t, err)
	defer base.Close()
	slow := &slowToReturn{Listener: base.inner, taken: make(chan struct{}), release: make(chan struct{})}
	base.inner = slow
	l := Around(base, base) // in the place of a mux

	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	client, err := net.Dial("tcp", base.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	<-slow.taken

	ctx := &watched{Context: t.Context(), waiting: make(chan struct{})}
	drained := make(chan error, 1)
	go func() { drained <- base.Drain(ctx) }()
	select {
	case <-ctx.waiting:
	case <-drained:
		require.Fail(t, "Drain did not wait")
	}
	close(slow.release)
	conn := <-accepted
	require.NotNil(t, conn)
	defer conn.Close()
	require.NoError(t, <-drained)
	_, open := <-accepted
	require.False(t, open)
}

type slowToReturn struct {
	net.Listener
	once           sync.Once
	taken, release chan struct{}
}

func (l *slowToReturn) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.once.Do(func() { close(l.taken) })
		<-l.release
	}
	return conn, err
}

func (l *slowToReturn) SetDeadline(t time.Time) error {
	return l.Listener.(*net.TCPListener).SetDeadline(t)
}

// watched is a context that tells when its Done method is first called.
type watched struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func (c *watched) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}
