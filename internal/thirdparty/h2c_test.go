package thirdparty

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c" //nolint:staticcheck // it is deprecated, and much used

	"github.com/gracefulgo/shutdown"
)

// oldH2C are the ways to use h2c.NewHandler.
var oldH2C = map[string]func(*testing.T, http.Handler) *http.Server{
	"with ConfigureServer": func(t *testing.T, next http.Handler) *http.Server {
		s := new(http2.Server)
		srv := &http.Server{Handler: newHandler(next, s)}
		require.NoError(t, http2.ConfigureServer(srv, s))
		return srv
	},
	"without": func(_ *testing.T, next http.Handler) *http.Server {
		return &http.Server{Handler: newHandler(next, new(http2.Server))}
	},
	"with an http2.Server that closes idle connections": func(_ *testing.T, next http.Handler) *http.Server {
		return &http.Server{Handler: newHandler(next, &http2.Server{IdleTimeout: time.Minute})}
	},
}

func newHandler(next http.Handler, s *http2.Server) http.Handler {
	return h2c.NewHandler(next, s) //nolint:staticcheck // it is deprecated, and much used
}

// slowly holds requests for /slow for a second, or until their context ends.
func slowly(entered chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			_, _ = io.WriteString(w, "quick")
			return
		}
		entered <- struct{}{}
		select {
		case <-time.After(time.Second):
			_, _ = io.WriteString(w, "slow")
		case <-r.Context().Done():
			http.Error(w, context.Cause(r.Context()).Error(), http.StatusServiceUnavailable)
		}
	}
}

func TestIdleOldH2CConnectionDoesNotHoldTheDrain(t *testing.T) {
	for how, server := range oldH2C {
		t.Run(how, func(t *testing.T) {
			var logs logBuffer
			m := manager(t, shutdown.Config{}, &logs)
			addr := start(t, m, server(t, slowly(nil)))
			c := client(t, priorKnowledge())
			require.Equal(t, "quick", get(t, c, "http://"+addr+"/quick").body)
			require.Empty(t, taskNames(m))
			began := time.Now()
			require.NoError(t, end(t, m)) // the grace period is an hour
			t.Logf("%s: %v", how, time.Since(began).Round(time.Millisecond))
			require.True(t, logs.has("level=WARN", "Protocols.SetUnencryptedHTTP2"), logs.String())
		})
	}
}

func TestOldH2CRequestInFlightIsAnswered(t *testing.T) {
	for how, server := range oldH2C {
		t.Run(how, func(t *testing.T) {
			m := manager(t, shutdown.Config{}, nil)
			entered := make(chan struct{}, 1)
			addr := start(t, m, server(t, slowly(entered)))
			slow := later(t, client(t, priorKnowledge()), "http://"+addr+"/slow")
			idle := client(t, priorKnowledge())
			require.Equal(t, "quick", get(t, idle, "http://"+addr+"/quick").body)
			within(t, "the handler", entered)
			ended := wait(m)
			m.Begin(nil)
			got := within(t, "the answer", slow)
			require.NoError(t, got.err)
			require.Equal(t, http.StatusOK, got.status, got.body)
			require.Equal(t, "slow", got.body)
			require.NoError(t, within(t, "the end of the shutdown", ended))
		})
	}
}

// The handler then still has time to answer.
func TestOldH2CRequestIsCancelledWithWorkContext(t *testing.T) {
	for how, server := range oldH2C {
		t.Run(how, func(t *testing.T) {
			m := manager(t, shutdown.Config{GracePeriod: 4 * time.Second}, nil)
			entered := make(chan struct{}, 1)
			cause := make(chan error, 1)
			addr := start(t, m, server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				entered <- struct{}{}
				<-r.Context().Done()
				cause <- context.Cause(r.Context())
				http.Error(w, "no more time", http.StatusServiceUnavailable)
			})))
			answer := later(t, client(t, priorKnowledge()), "http://"+addr+"/lasting")
			within(t, "the handler", entered)
			m.Begin(nil)
			_ = m.Wait() // the client shows whether the connection was cut
			require.ErrorIs(t, within(t, "the end of the context", cause), shutdown.ErrTimeout)
			got := within(t, "the answer", answer)
			require.NoError(t, got.err)
			require.Equal(t, http.StatusServiceUnavailable, got.status)
		})
	}
}

// A client without prior knowledge, such as curl, sends an upgrade request. From then
// on its connection is HTTP/2, with the first answer as stream 1.
func TestIdleConnectionUpgradedToOldH2CDoesNotHoldTheDrain(t *testing.T) {
	for how, server := range oldH2C {
		t.Run(how, func(t *testing.T) {
			m := manager(t, shutdown.Config{}, nil)
			addr := start(t, m, server(t, slowly(nil)))
			conn, err := net.DialTimeout("tcp", addr, soon)
			require.NoError(t, err)
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(soon))
			_, _ = io.WriteString(conn, "GET /quick HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
			_, _ = io.WriteString(conn, http2.ClientPreface)
			framer := http2.NewFramer(conn, r)
			require.NoError(t, framer.WriteSettings())
			for ended := false; !ended; {
				frame, err := framer.ReadFrame()
				require.NoError(t, err)
				data, ok := frame.(*http2.DataFrame)
				ended = ok && data.StreamEnded()
			}
			require.NoError(t, end(t, m)) // the grace period is an hour
		})
	}
}

// The warning about old h2c names Protocols.SetUnencryptedHTTP2.
func TestUnencryptedHTTP2NeedsNoWarning(t *testing.T) {
	var logs logBuffer
	m := manager(t, shutdown.Config{}, &logs)
	entered := make(chan struct{}, 1)
	srv := &http.Server{Handler: slowly(entered), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	addr := start(t, m, srv)
	slow := later(t, client(t, priorKnowledge()), "http://"+addr+"/slow")
	within(t, "the handler", entered)
	require.Equal(t, []string{"GET /slow"}, taskNames(m))
	require.NoError(t, end(t, m))
	require.Equal(t, "slow", within(t, "the answer", slow).body)
	require.False(t, logs.has("level=WARN"), logs.String())
}
