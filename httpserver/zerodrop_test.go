package httpserver_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/listener"
)

// echo is a server that takes a millisecond or two and speaks HTTP/1 and
// HTTP/2 in clear text.
func echo() *http.Server {
	srv := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		time.Sleep(time.Millisecond + rand.N(time.Millisecond))
		_, _ = w.Write(body)
	})}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}

// underLoad calls stop while 32 clients hammer addr, and returns what they saw.
func underLoad(t *testing.T, mode load.Mode, addr string, stop func() error) load.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	clients := load.Clients{Mode: mode, Addr: addr}.Start(ctx)
	require.NoError(t, clients.Warm(ctx, 3))
	require.NoError(t, stop())
	cancel() // gives up dials that nobody answers any more
	return clients.Wait()
}

const rounds = 5

func shutdownUnderLoad(t *testing.T, mode load.Mode) (all load.Result) {
	t.Helper()
	for range rounds {
		m, err := shutdown.New(shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, LameDuck: -1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ln, err := listener.Listen(context.Background(), "tcp", loopback())
		require.NoError(t, err)
		require.NoError(t, httpserver.StartListener(m, echo(), ln))
		all.Add(underLoad(t, mode, ln.Addr().String(), func() error {
			m.Begin(nil)
			return m.Wait()
		}))
	}
	t.Logf("with the library %d of %d requests lost", all.Losses(), all.Requests)
	return all
}

// plainUnderLoad is the same with nothing but http.Server.Shutdown.
func plainUnderLoad(t *testing.T, mode load.Mode) (all load.Result) {
	t.Helper()
	for range rounds {
		ln, err := net.Listen("tcp", loopback())
		require.NoError(t, err)
		srv := echo()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		all.Add(underLoad(t, mode, ln.Addr().String(), func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			defer srv.Close()
			return srv.Shutdown(ctx)
		}))
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	}
	t.Logf("without it %d of %d requests lost: %s", all.Losses(), all.Requests, all.Kinds())
	return all
}

func TestAShutdownUnderLoadLosesNoRequest(t *testing.T) {
	for _, mode := range []load.Mode{load.NewConn, load.KeepAlive, load.HTTP2} {
		t.Run(mode.String(), func(t *testing.T) {
			all := shutdownUnderLoad(t, mode)
			require.Zero(t, all.Losses(), all.Kinds())
		})
	}
}

// The negative control. One round may be lucky, many are not.
func TestAPlainShutdownUnderLoadLosesRequests(t *testing.T) {
	for range 10 {
		for _, mode := range []load.Mode{load.NewConn, load.KeepAlive, load.HTTP2} {
			if all := plainUnderLoad(t, mode); all.Losses() > 0 {
				return
			}
		}
	}
	t.Fatal("the check does not find what it should find")
}

// With many streams at once on one connection the server can do a lot but not
// everything: what a client sends before it has read the GOAWAY is lost. On a
// machine with nothing else to do it is none; see examples/zerodrop.
func TestManyStreamsOnOneConnectionLoseFarLess(t *testing.T) {
	var with, without int
	for range 10 {
		with += shutdownUnderLoad(t, load.HTTP2Shared).Losses()
		without += plainUnderLoad(t, load.HTTP2Shared).Losses()
		if without >= 20 && 2*with < without {
			break
		}
	}
	require.Less(t, 2*with, without)
}
