package httpserver_test

import (
	"context"
	"io"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestTheServerServesDuringTheLameDuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lameDuck, each = 1500 * time.Millisecond, 10 * time.Millisecond
		m, network := manager(t, shutdown.Config{LameDuck: lameDuck}), newPipeNet()
		startOn(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Phase", m.Phase().String())
		}), network)
		drained := make(chan time.Duration, 1)
		m.On(shutdown.Drain, "when", func(context.Context) error {
			drained <- time.Since(m.Report().Begun)
			return nil
		})
		ended := wait(m)
		m.Begin(nil)

		inLeave := 0
		time.Sleep(each / 2) // not at the end of the lame duck
		for ; m.Phase() == shutdown.Leave; inLeave++ {
			r := get(t, network.client(t, protocols["HTTP/1.1"]), "http://pipe")
			require.NoError(t, r.err)
			require.Equal(t, 200, r.status)
			time.Sleep(each)
		}
		require.Equal(t, int(lameDuck/each), inLeave)
		require.Equal(t, lameDuck, within(t, "the Drain hook", drained))
		require.NoError(t, within(t, "the end", ended))
		_, err := network.dial()
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

// The same on a socket and without measuring time: in Leave a new connection is accepted
// and its request answered, and after the drain a connection is refused.
func TestTheServerAcceptsDuringTheLameDuck(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{LameDuck: 100 * time.Millisecond})
	addr := start(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, m.Phase().String())
	}))
	// The lame duck may have ended before this test sends its first request.
	served := newGate(t)
	m.On(shutdown.Leave, "wait for a client", func(context.Context) error {
		served.pass()
		return nil
	})
	ended := wait(m)
	m.Begin(nil)
	within(t, "the Leave hook", served.entered)
	for range 3 {
		r := get(t, newClient(t), "http://"+addr)
		require.NoError(t, r.err)
		require.Equal(t, 200, r.status)
		require.Equal(t, "leave", r.body)
	}
	served.Open()
	require.NoError(t, within(t, "the end", ended))
	require.True(t, refused("tcp", addr))
}
