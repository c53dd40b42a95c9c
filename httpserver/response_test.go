package httpserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// These are all ways in which net/http writes a header.
var headerWriters = map[string]http.HandlerFunc{
	"nothing":     func(http.ResponseWriter, *http.Request) {},
	"WriteHeader": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
	"no content":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	"Write":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("body")) },
	"WriteString": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") },
	"ReadFrom": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("body")})
	},
	"Flush":      func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
	"FlushError": func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
	"error":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "body", http.StatusInternalServerError) },
	"redirect": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusNotModified)
	},
	"file": func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "f", time.Time{}, strings.NewReader("body"))
	},
	"keep-alive": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "keep-alive")
		w.WriteHeader(200)
	},
	"hints first": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(200) },
	"flush twice": func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.(http.Flusher).Flush() },
}

func TestEveryWayToWriteAHeaderSetsConnectionCloseOnceTheShutdownHasStarted(t *testing.T) {
	for name, h := range headerWriters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := manager(t, shutdown.Config{})
			c := dialRaw(t, start(t, m, handle(h)))
			c.get("/")
			before := c.finalResponse()
			require.False(t, before.close)

			freeze := frozen(t, m)
			c.get("/")
			after := c.finalResponse()
			require.True(t, after.close)
			before.close = true
			require.Equal(t, before, after, "nothing else differs")
			c.requireEnd()
			freeze.Open()
			require.NoError(t, end(t, m))
		})
	}
}

func (c rawConn) finalResponse() (r reply) {
	c.t.Helper()
	for r.status < 200 {
		r = c.response()
	}
	return r
}

func TestARequestThatStartedBeforeTheShutdown(t *testing.T) {
	t.Run("has Connection: close if its header is written after the start", func(t *testing.T) {
		t.Parallel()
		m, g := manager(t, shutdown.Config{}), newGate(t)
		replies := later(t, newClient(t), "http://"+start(t, m, &http.Server{Handler: g}))
		within(t, "the request", g.entered)
		m.Begin(nil)
		g.Open()
		require.Equal(t, reply{status: 200, close: true, proto: 1, body: "held"}, within(t, "the reply", replies))
		require.NoError(t, end(t, m))
	})
	t.Run("is answered in full if its header was written before", func(t *testing.T) {
		t.Parallel()
		m, g := manager(t, shutdown.Config{}), newGate(t)
		replies := later(t, newClient(t), "http://"+start(t, m, handle(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			g.ServeHTTP(w, r)
		})))
		within(t, "the request", g.entered)
		m.Begin(nil)
		g.Open()
		require.Equal(t, reply{status: 200, proto: 1, body: "held"}, within(t, "the reply", replies))
		require.NoError(t, end(t, m), "its connection is idle now and lingers")
	})
}

func TestEarlyHintsHaveNoConnectionClose(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	url := "http://" + start(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "body")
	}))
	frozen(t, m)

	var hints []textproto.MIMEHeader
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		require.Equal(t, http.StatusEarlyHints, code)
		hints = append(hints, header)
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := newClient(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.True(t, resp.Close)
	require.Len(t, hints, 1)
	require.NotEmpty(t, hints[0].Get("Link"))
	require.Empty(t, hints[0].Get("Connection"))
}

func TestSwitchingProtocolsKeepsItsConnectionHeader(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	addr := start(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "test")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}))
	freeze := frozen(t, m)
	c := dialRaw(t, addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Equal(t, []string{"Upgrade"}, resp.Header["Connection"])
	freeze.Open()
	require.NoError(t, end(t, m))
}

func TestAResponseWriterHasTheInterfacesOfNetHTTP(t *testing.T) {
	t.Parallel()
	type ability struct{ flusher, closeNotifier, hijacker, readerFrom, stringWriter, deadlines, fullDuplex bool }
	abilities := func(w http.ResponseWriter) (a ability) {
		_, a.flusher = w.(http.Flusher)
		_, a.closeNotifier = w.(http.CloseNotifier) //nolint:staticcheck // gin and others require it
		_, a.hijacker = w.(http.Hijacker)
		_, a.readerFrom = w.(io.ReaderFrom)
		_, a.stringWriter = w.(io.StringWriter)
		rc := http.NewResponseController(w)
		a.deadlines = rc.SetReadDeadline(time.Time{}) == nil && rc.SetWriteDeadline(time.Time{}) == nil
		a.fullDuplex = rc.EnableFullDuplex() == nil
		return a
	}
	for name, proto := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want, got ability
			plain := handle(func(w http.ResponseWriter, _ *http.Request) { want = abilities(w) })
			ours := handle(func(w http.ResponseWriter, _ *http.Request) { got = abilities(w) })

			m := manager(t, shutdown.Config{})
			// net/http without the library is the reference.
			url := proto.serve(t, plain, func(ln net.Listener) {
				go func() {
					if plain.TLSConfig != nil {
						_ = plain.ServeTLS(ln, "", "")
						return
					}
					_ = plain.Serve(ln)
				}()
				t.Cleanup(func() { plain.Close() })
			})
			require.NoError(t, get(t, proto.client(t), url).err)
			url = proto.serve(t, ours, func(ln net.Listener) { startOn(t, m, ours, ln) })
			require.NoError(t, get(t, proto.client(t), url).err)

			require.Equal(t, want, got)
			require.Equal(t, proto.version == 1, got.hijacker)
		})
	}
}

func TestAWriteDeadlineReachesTheConnection(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	result := make(chan error, 1)
	addr := start(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second))
		_, err := w.Write(make([]byte, 1<<20))
		result <- err
	}))
	require.Error(t, get(t, newClient(t), "http://"+addr).err)
	require.ErrorIs(t, within(t, "the write", result), os.ErrDeadlineExceeded)
}

func TestFullDuplexReachesTheConnection(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	addr := start(t, m, handle(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_, _ = io.WriteString(w, "first")
		_ = rc.Flush()
		_, _ = io.Copy(w, r.Body)
	}))
	c := dialRaw(t, addr)
	c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	first := make([]byte, 5)
	_, err = io.ReadFull(resp.Body, first)
	require.NoError(t, err)
	c.send("second")
	second, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "firstsecond", string(first)+string(second))
}

// A middleware between net/http and Middleware may keep Hijacker and hide ReaderFrom, as
// most do. A WebSocket library uses a type assertion to Hijacker.
func TestHijackWorksBehindAMiddlewareThatKeepsOnlyHijacker(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	var hijacker bool
	h := httpserver.Middleware(m)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, hijacker = w.(http.Hijacker) }))
	addr := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(hijackOnly{w}, r)
	})})
	require.NoError(t, get(t, newClient(t), "http://"+addr).err)
	require.True(t, hijacker)
}

type hijackOnly struct{ http.ResponseWriter }

func (w hijackOnly) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

func TestServerPushStillWorks(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	var pusher bool
	srv := handle(func(w http.ResponseWriter, _ *http.Request) { _, pusher = w.(http.Pusher) })
	proto := protocols["HTTP/2 over TLS"]
	url := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) })
	require.NoError(t, get(t, proto.client(t), url).err)
	require.True(t, pusher)
}

// serve starts a server without the library.
func serve(t testing.TB, srv *http.Server) (addr string) {
	t.Helper()
	ln := netListen(t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return ln.Addr().String()
}
