package load_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

// soon is a limit for what should happen at once; no test waits for it to pass.
const soon = 50 * time.Second

var modes = []load.Mode{load.NewConn, load.KeepAlive, load.HTTP2, load.HTTP2Shared}

func TestEachModeUsesConnectionsAsDocumented(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			for round := 1; ; round++ {
				conns, result := useConns(t, mode)
				switch mode {
				case load.NewConn:
					// Each client may have one more dial, cancelled at the end.
					require.GreaterOrEqual(t, conns, result.Requests)
					require.LessOrEqual(t, conns, result.Requests+fewClients)
					return
				case load.HTTP2Shared:
					require.Equal(t, 1, conns)
					return
				case load.HTTP2:
					require.Equal(t, fewClients, conns)
					return
				}
				// net/http does not reuse a connection if it has not noticed within 50 ms
				// after the response that the request was written.
				if conns == fewClients {
					return
				}
				require.Greater(t, conns, fewClients)
				require.Less(t, round, 20, "%d connections for %d requests", conns, result.Requests)
			}
		})
	}
}

const fewClients = 4

// useConns runs a few clients for a while and counts the connections that the server
// sees.
func useConns(t *testing.T, mode load.Mode) (int, load.Result) {
	var conns, requests, http2 atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.ProtoMajor == 2 {
			http2.Add(1)
		}
		echo(w, r)
	}, func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	})

	begun := time.Now()
	run, stop := start(t, load.Clients{Mode: mode, N: fewClients, Addr: srv.addr})
	require.NoError(t, run.Warm(t.Context(), 3))
	require.GreaterOrEqual(t, run.Count(), 3*fewClients)
	stop()
	result := run.Wait()

	require.Empty(t, result.Lost)
	require.Empty(t, result.Kinds())
	require.EqualValues(t, requests.Load(), result.Requests)
	require.Equal(t, result.Requests, run.Count())
	require.WithinRange(t, result.LastReply, begun, time.Now())
	if mode == load.HTTP2 || mode == load.HTTP2Shared {
		require.Equal(t, requests.Load(), http2.Load())
	} else {
		require.Zero(t, http2.Load())
	}
	return int(conns.Load()), result
}

func TestClientsEndAtARefusedDialWithoutALoss(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			run := load.Clients{Mode: mode, N: 4, Addr: "127.0.0.1:1"}.Start(t.Context())
			require.Error(t, run.Warm(t.Context(), 1))
			result := run.Wait()

			require.Equal(t, load.Result{Refused: 4}, result)
		})
	}
}

func TestPersistentClientsGoOnAfterARefusedDial(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			for wait := time.Millisecond; ; wait *= 2 {
				run, stop := start(t, load.Clients{Mode: mode, N: 1, Addr: "127.0.0.1:1", Pause: time.Microsecond, Persistent: true})
				time.Sleep(wait) // nothing tells of a refused dial; a longer time makes a second one certain
				stop()
				result := run.Wait()
				require.Zero(t, result.Requests)
				if result.Refused > 1 {
					return
				}
				require.Less(t, wait, 5*time.Second)
			}
		})
	}
}

func TestNothingIsSentTwice(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			var mu sync.Mutex
			seen := make(map[string]int) // protected by mu
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				seen[string(body)]++
				n := len(seen)
				mu.Unlock()
				if n%7 == 0 {
					panic(http.ErrAbortHandler)
				}
				_, _ = w.Write(body)
			}, nil)

			result := loseSome(t, load.Clients{Mode: mode, N: 4, Addr: srv.addr})

			mu.Lock()
			defer mu.Unlock()
			require.Positive(t, result.Losses())
			require.Len(t, seen, result.Requests)
			for body, times := range seen {
				require.Equal(t, 1, times, "request %s", body)
			}
		})
	}
}

func TestRequestsInFlightFinishAfterTheEndOfTheContext(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			entered, release := make(chan struct{}, 3), make(chan struct{})
			var requests atomic.Int64
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) == 1 && mode == load.HTTP2Shared {
					echo(w, r) // this request opens the shared connection
					return
				}
				entered <- struct{}{}
				<-release
				echo(w, r)
			}, nil)

			run, stop := start(t, load.Clients{Mode: mode, N: 3, Addr: srv.addr})
			for range 3 {
				<-entered
			}
			stop()
			close(release)
			result := run.Wait()

			require.Empty(t, result.Lost)
			require.GreaterOrEqual(t, result.Requests, 3)
		})
	}
}

func TestEachRequestDuringAPlainShutdownIsAccountedFor(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Millisecond)
				echo(w, r)
			}, nil)
			run, _ := start(t, load.Clients{Mode: mode, N: 16, Addr: srv.addr})
			require.NoError(t, run.Warm(t.Context(), 3))

			require.NoError(t, srv.Shutdown(t.Context()))
			result := run.Wait()

			t.Log(result.Requests, "requests, lost:", result.Kinds())
			require.Equal(t, 16, result.Refused)
			for kind := range result.Lost {
				require.Contains(t, []string{"RST", "EOF", "EPIPE", "GOAWAY", "closed", load.Unsent, load.DialReset}, kind)
			}
		})
	}
}

type server struct {
	*http.Server
	addr string
}

func serve(t *testing.T, handler http.HandlerFunc, state func(net.Conn, http.ConnState)) server {
	t.Helper()
	ln := listen(t)
	srv := &http.Server{Handler: handler, ConnState: state, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return server{srv, ln.Addr().String()}
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

// accept runs handle on each connection, one goroutine each, and closes it.
func accept(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	ln := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	return ln
}

func start(t *testing.T, clients load.Clients) (*load.Run, context.CancelFunc) {
	ctx, stop := context.WithCancel(t.Context())
	run := clients.Start(ctx)
	t.Cleanup(func() {
		stop()
		run.Wait()
	})
	return run, stop
}

// loseSome runs the clients until they have lost some requests.
func loseSome(t *testing.T, clients load.Clients) load.Result {
	run, stop := start(t, clients)
	time.Sleep(100 * time.Millisecond) // any number of losses will do
	for begun := time.Now(); run.Lost() == 0; time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(begun), 2*soon)
	}
	stop()
	return run.Wait()
}
