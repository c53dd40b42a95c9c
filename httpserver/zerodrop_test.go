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
	"github.com/gracefulgo/shutdown/internal/loopback"
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

// underLoad calls stop while clients hammer addr, and returns what they saw.
func underLoad(t *testing.T, clients load.Clients, stop func() error) load.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	run := clients.Start(ctx)
	require.NoError(t, run.Warm(ctx, 3))
	require.NoError(t, stop())
	cancel() // gives up dials that nobody answers any more
	return run.Wait()
}

const rounds = 5

func shutdownUnderLoad(t *testing.T, mode load.Mode, n int) load.Result {
	t.Helper()
	m, err := shutdown.New(shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, GracePeriod: time.Hour, LameDuck: -1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ln, err := listener.Listen(context.Background(), "tcp", loopback.Addr())
	require.NoError(t, err)
	_, err = httpserver.Serve(m, echo(), ln)
	require.NoError(t, err)
	return underLoad(t, load.Clients{Mode: mode, N: n, Addr: ln.Addr().String()}, func() error {
		m.Begin(nil)
		return m.Wait()
	})
}

// plainUnderLoad is the same with nothing but http.Server.Shutdown.
func plainUnderLoad(t *testing.T, mode load.Mode, n int) load.Result {
	t.Helper()
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	srv := echo()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	result := underLoad(t, load.Clients{Mode: mode, N: n, Addr: ln.Addr().String()}, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		defer srv.Close()
		return srv.Shutdown(ctx)
	})
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	return result
}

// A client that is silent for 50 ms while the server drains loses its connection
// with reason, and so may one with HTTP/2 whose answer was held for 100 ms. On a
// busy machine that happens, to a goroutine that stands still: such a loss says
// nothing, and the round is repeated. None may be lost without such a reason.
func TestAShutdownUnderLoadLosesNoRequest(t *testing.T) {
	for _, mode := range []load.Mode{load.NewConn, load.KeepAlive, load.HTTP2} {
		t.Run(mode.String(), func(t *testing.T) {
			for good, silent := 0, 0; good < rounds; {
				r := shutdownUnderLoad(t, mode, 32)
				t.Logf("%d of %d requests lost, silence %v", r.Losses(), r.Requests, r.Silence)
				if r.Losses() > 0 {
					require.Greater(t, r.Silence, 40*time.Millisecond, r.Kinds())
					silent++
					require.LessOrEqual(t, silent, 2*rounds, "this machine is too busy to tell")
					continue
				}
				good++
			}
		})
	}
}

// The negative control. One round may be lucky, many are not.
func TestAPlainShutdownUnderLoadLosesRequests(t *testing.T) {
	for range 10 * rounds {
		for _, mode := range []load.Mode{load.NewConn, load.KeepAlive, load.HTTP2} {
			if r := plainUnderLoad(t, mode, 32); r.Losses() > 0 {
				t.Logf("%s: %d of %d requests lost: %s", mode, r.Losses(), r.Requests, r.Kinds())
				return
			}
		}
	}
	t.Fatal("the check does not find what it should find")
}

// With many streams at once on one connection the server can do a lot but not
// everything: what a client sends before it has read the GOAWAY is lost. On a
// machine with nothing else to do it is none; see examples/zerodrop. On one that
// is so busy that it cannot have all answers ready within 100 ms it is all that
// net/http would lose, which says nothing; with fewer streams it may be able to.
func TestManyStreamsOnOneConnectionLoseFarLess(t *testing.T) {
	var with, without, late int
	for told := 0; told < rounds || without < 20 || 2*with >= without; {
		n := max(4, 32>>(late/rounds))
		r := shutdownUnderLoad(t, load.HTTP2Shared, n)
		t.Logf("%d streams: %d of %d requests lost, slowest %v", n, r.Losses(), r.Requests, r.Slowest)
		if r.Losses() > 0 && r.Slowest > 90*time.Millisecond {
			late++
			require.LessOrEqual(t, late, 3*rounds, "this machine is too busy to tell")
			continue
		}
		told++
		with += r.Losses()
		without += plainUnderLoad(t, load.HTTP2Shared, n).Losses()
		require.Less(t, told, 10*rounds, "lost: %d, and %d without the library", with, without)
	}
}
