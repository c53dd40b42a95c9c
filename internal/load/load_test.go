package load_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

// soon bounds what ought to happen at once; no test waits for it to pass.
const soon = 50 * time.Second

var modes = []load.Mode{load.NewConn, load.KeepAlive, load.HTTP2, load.HTTP2Shared}

func TestEveryModeUsesConnectionsAsItSays(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			for round := 1; ; round++ {
				conns, result := useConns(t, mode)
				switch mode {
				case load.NewConn:
					// One more for each dial that was given up at the end.
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
				// net/http does not use a connection again when 50 ms after the answer
				// it has not noticed that the request was written.
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

// useConns lets a few clients run for a while, and counts the connections that
// the server sees.
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

func TestAResetIsAnRST(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			addr := accept(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1))
				_ = conn.(*net.TCPConn).SetLinger(0)
			})
			result := loseSome(t, load.Clients{Mode: mode, N: 2, Addr: addr})
			if mode == load.HTTP2 || mode == load.HTTP2Shared {
				// Several writes open a connection: the second may find a broken pipe.
				for range 20 {
					if result.Lost["RST"] > 0 {
						break
					}
					result = loseSome(t, load.Clients{Mode: mode, N: 2, Addr: addr})
				}
				require.Positive(t, result.Lost["RST"], "lost: %s", result.Kinds())
				return
			}
			requireOnlyKind(t, "RST", result)
		})
	}
}

func TestACloseInTheMiddleOfARequestIsAnEOF(t *testing.T) {
	for _, mode := range []load.Mode{load.NewConn, load.KeepAlive} {
		t.Run(mode.String(), func(t *testing.T) {
			addr := accept(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) })
			requireOnlyKind(t, "EOF", loseSome(t, load.Clients{Mode: mode, N: 2, Addr: addr}))
		})
	}
}

func TestAHalfAnswerIsAnEOF(t *testing.T) {
	addr := accept(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0-")
	})
	requireOnlyKind(t, "EOF", loseSome(t, load.Clients{N: 2, Addr: addr}))
}

func TestAStatusIsItsOwnKind(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		echo(w, r)
	}, nil)
	requireOnlyKind(t, "503", loseSome(t, load.Clients{N: 2, Addr: srv.addr}))
}

func TestAWrongEchoIsLost(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, nil)
	requireOnlyKind(t, "other: wrong answer", loseSome(t, load.Clients{N: 2, Addr: srv.addr}))
}

func TestSilenceIsATimeout(t *testing.T) {
	addr := accept(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for timeout := 300 * time.Millisecond; ; timeout *= 2 {
		result := loseSome(t, load.Clients{N: 2, Addr: addr, Timeout: timeout})
		if result.Lost["dial timeout"] > 0 && timeout < 10*time.Second {
			continue // on a machine that stood still for so long
		}
		requireOnlyKind(t, "timeout", result)
		return
	}
}

func TestClientsEndAtARefusedDialAndLoseNothing(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			run := load.Clients{Mode: mode, N: 4, Addr: "127.0.0.1:1"}.Start(t.Context())
			require.Error(t, run.Warm(t.Context(), 1))
			result := run.Wait()

			require.Equal(t, load.Result{Refused: 4}, result)
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

func TestTheEndOfTheContextLetsRequestsInFlightEnd(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			entered, release := make(chan struct{}, 3), make(chan struct{})
			var requests atomic.Int64
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) == 1 && mode == load.HTTP2Shared {
					echo(w, r) // the one that opens the connection for all
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

func TestPlainShutdownUnderLoadIsAccountedFor(t *testing.T) {
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
				require.Contains(t, []string{"RST", "EOF", "EPIPE", "GOAWAY", "unsent", load.DialReset}, kind)
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

// listen listens on an address of its own, where Linux has so many: on another
// one the port may be a stranger's as soon as it is closed, and a client that
// comes late is not refused.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.N(254), rand.N(256), 1+rand.N(254)))
	if err != nil {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
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

// loseSome lets the clients run for as long as a few losses take.
func loseSome(t *testing.T, clients load.Clients) load.Result {
	run, stop := start(t, clients)
	time.Sleep(100 * time.Millisecond) // the losses come by themselves; any number will do
	for begun := time.Now(); run.Lost() == 0; time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(begun), 2*soon)
	}
	stop()
	return run.Wait()
}

func requireOnlyKind(t *testing.T, kind string, result load.Result) {
	t.Helper()
	require.Positive(t, result.Lost[kind], "lost: %s", result.Kinds())
	require.Len(t, result.Lost, 1, "lost: %s", result.Kinds())
	require.Equal(t, result.Losses(), result.Lost[kind])
}
