package load_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestClientsSpeakTLSInEveryMode(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			var mu sync.Mutex
			seen := make(map[string]bool) // protected by mu
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen[r.Proto] = r.TLS != nil
				mu.Unlock()
				echo(w, r)
			}))
			srv.EnableHTTP2 = true
			srv.StartTLS()
			t.Cleanup(srv.Close)
			trust := srv.Client().Transport.(*http.Transport).TLSClientConfig

			run, stop := start(t, load.Clients{Mode: mode, N: fewClients, Addr: srv.Listener.Addr().String(), TLS: trust})
			require.NoError(t, run.Warm(t.Context(), 2))
			stop()

			require.Empty(t, run.Wait().Lost)
			want := map[string]bool{"HTTP/1.1": true}
			if mode == load.HTTP2 || mode == load.HTTP2Shared {
				want = map[string]bool{"HTTP/2.0": true}
			}
			require.Equal(t, want, seen)
		})
	}
}

func TestStreamsIsTheNumberOfClientsThatShareAConnection(t *testing.T) {
	var mu sync.Mutex
	conns := make(map[string]bool) // protected by mu
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		conns[r.RemoteAddr] = true
		mu.Unlock()
		echo(w, r)
	}, nil)

	run, stop := start(t, load.Clients{Mode: load.HTTP2Shared, N: 6, Streams: 3, Addr: srv.addr})
	require.NoError(t, run.Warm(t.Context(), 2))
	stop()

	require.Empty(t, run.Wait().Lost)
	require.Len(t, conns, 2)
}

func TestClientsUsePathsInTurn(t *testing.T) {
	var mu sync.Mutex
	callers := make(map[string]map[string]bool) // by path; protected by mu
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		client, _, _ := strings.Cut(string(body), "-")
		mu.Lock()
		if callers[r.URL.Path] == nil {
			callers[r.URL.Path] = make(map[string]bool)
		}
		callers[r.URL.Path][client] = true
		mu.Unlock()
		_, _ = w.Write(body)
	}, nil)

	run, stop := start(t, load.Clients{N: 4, Addr: srv.addr, Paths: []string{"/a", "/b"}})
	require.NoError(t, run.Warm(t.Context(), 2))
	stop()
	run.Wait()

	require.Equal(t, map[string]map[string]bool{"/a": {"<0": true, "<2": true}, "/b": {"<1": true, "<3": true}}, callers)
}

func TestClientsPauseBetweenAResponseAndTheNextRequest(t *testing.T) {
	const pause = 20 * time.Millisecond
	var answered time.Time // of the only client
	var pauses []time.Duration
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !answered.IsZero() {
			pauses = append(pauses, time.Since(answered))
		}
		echo(w, r)
		answered = time.Now()
	}, nil)

	run, stop := start(t, load.Clients{Mode: load.KeepAlive, N: 1, Addr: srv.addr, Pause: pause})
	require.NoError(t, run.Warm(t.Context(), 4))
	stop()
	run.Wait()

	require.GreaterOrEqual(t, len(pauses), 3)
	require.GreaterOrEqual(t, slices.Min(pauses), pause-5*time.Millisecond) // the response is sent before its handler returns
}

func TestRequestsAfterMarkAreCountedSeparately(t *testing.T) {
	broken := make(chan struct{})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-broken:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
		}
		echo(w, r)
	}, nil)

	run, stop := start(t, load.Clients{Mode: load.KeepAlive, N: fewClients, Addr: srv.addr})
	require.NoError(t, run.Warm(t.Context(), 2))
	run.Mark()
	before := run.Count()
	require.Eventually(t, func() bool { return run.Count() >= before+2*fewClients }, soon, time.Millisecond)
	close(broken)
	require.Eventually(t, func() bool { return run.Lost() > 2*fewClients }, soon, time.Millisecond)
	stop()
	result := run.Wait()

	require.Positive(t, result.Later)
	require.GreaterOrEqual(t, result.Requests-result.Later, 2*fewClients)
	require.GreaterOrEqual(t, result.LaterLost, fewClients) // each client may have started one before Mark
	require.LessOrEqual(t, result.LaterLost, result.Losses())
}

func TestWithoutMarkNoRequestIsLater(t *testing.T) {
	srv := serve(t, echo, nil)
	run, stop := start(t, load.Clients{N: 1, Addr: srv.addr})
	require.NoError(t, run.Warm(t.Context(), 2))
	stop()
	require.Zero(t, run.Wait().Later)
}

func TestALongResponseCountsOnlyIfItIsComplete(t *testing.T) {
	answer := func(end bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			text := string(body) + strings.Repeat(".", 100<<10)
			if end {
				text += string(body)
			}
			_, _ = io.WriteString(w, text)
		}
	}
	t.Run("complete", func(t *testing.T) {
		run, stop := start(t, load.Clients{N: 2, Addr: serve(t, answer(true), nil).addr})
		require.NoError(t, run.Warm(t.Context(), 2))
		stop()
		require.Empty(t, run.Wait().Lost)
	})
	t.Run("truncated", func(t *testing.T) {
		requireOnlyKind(t, "other: wrong answer", loseSome(t, load.Clients{N: 2, Addr: serve(t, answer(false), nil).addr}))
	})
}

func TestTheStatusOfAProxyThatWasRefusedEndsAClient(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(521) }, nil)
	run, _ := start(t, load.Clients{Mode: load.KeepAlive, N: 3, Addr: srv.addr, Gone: 521})
	result := run.Wait()
	require.Equal(t, 3, result.Refused)
	require.Zero(t, result.Requests)
}

func TestADelayIsAddedInBothDirections(t *testing.T) {
	const delay = 20 * time.Millisecond
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			var fastest atomic.Int64 // from the end of one request to the next
			fastest.Store(int64(time.Hour))
			var last atomic.Int64
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if at := last.Load(); at > 0 {
					fastest.Store(min(fastest.Load(), time.Now().UnixNano()-at))
				}
				echo(w, r)
				last.Store(time.Now().UnixNano())
			}, nil)
			run, stop := start(t, load.Clients{Mode: mode, N: 1, Addr: srv.addr, Delay: delay})
			require.NoError(t, run.Warm(t.Context(), 5))
			stop()
			result := run.Wait()
			require.Zero(t, result.Losses(), result.Kinds())
			require.GreaterOrEqual(t, time.Duration(fastest.Load()), 2*delay)
		})
	}
}

func TestARequestThatIsAnsweredAfterHalfASecondIsDelayed(t *testing.T) {
	var once sync.Once
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { time.Sleep(600 * time.Millisecond) })
		echo(w, r)
	}, nil)

	run, stop := start(t, load.Clients{Mode: load.KeepAlive, N: 1, Addr: srv.addr})
	require.NoError(t, run.Warm(t.Context(), 20))
	stop()

	result := run.Wait()
	require.GreaterOrEqual(t, result.Delayed, 1)
	require.Less(t, result.Delayed, result.Requests)
}

// The server closes each connection when a second request arrives. That request is lost,
// and its connection was idle for as long as the client paused.
func TestTheIdleTimeBeforeALossIsMeasured(t *testing.T) {
	const pause = 30 * time.Millisecond
	addr := accept(t, func(conn net.Conn) {
		requests := bufio.NewReader(conn)
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		_, _ = requests.Peek(1)
	})
	result := loseSome(t, load.Clients{Mode: load.KeepAlive, N: 1, Addr: addr, Pause: pause})
	require.Len(t, result.IdleBefore, result.Losses(), "lost: %s", result.Kinds())
	require.GreaterOrEqual(t, slices.Min(result.IdleBefore), pause-time.Millisecond)
}

func TestALossDuringAResponseHasNoIdleTime(t *testing.T) {
	addr := accept(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		}
	})
	result := loseSome(t, load.Clients{Mode: load.KeepAlive, N: 1, Addr: addr})
	require.Positive(t, result.Losses())
	require.Empty(t, result.IdleBefore)
}

func TestALossDuringTheTLSHandshakeHasAnIdleTime(t *testing.T) {
	addr := accept(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	result := loseSome(t, load.Clients{Mode: load.KeepAlive, N: 1, Addr: addr, TLS: &tls.Config{ServerName: "any"}})
	require.Positive(t, result.Losses())
	require.Len(t, result.IdleBefore, result.Losses(), "lost: %s", result.Kinds())
}
