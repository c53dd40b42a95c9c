package thirdparty

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func listenPacket(t *testing.T) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", loopback.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// serveHTTP3 serves h. If m is not nil, a Drain hook shuts the server down.
func serveHTTP3(t *testing.T, m *shutdown.Manager, h http.Handler) (addr string) {
	t.Helper()
	server, _ := certificate(t)
	conn := listenPacket(t)
	srv := &http3.Server{Handler: h, TLSConfig: http3.ConfigureTLSConfig(server)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(conn) }()
	t.Cleanup(func() {
		srv.Close()
		within(t, "the end of Serve", served)
	})
	if m != nil {
		m.On(shutdown.Drain, "http3", srv.Shutdown)
	}
	return conn.LocalAddr().String()
}

func http3Client(t *testing.T) *http.Client {
	_, trust := certificate(t)
	transport := &http3.Transport{TLSClientConfig: trust}
	t.Cleanup(func() { transport.Close() })
	return &http.Client{Transport: transport}
}

func TestHTTP3IsAnsweredDuringTheShutdown(t *testing.T) {
	m := manager(t, shutdown.Config{}, nil)
	slow := newGate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /quick/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "quick") })
	mux.Handle("GET /slow", slow)
	mux.HandleFunc("GET /methods", func(w http.ResponseWriter, _ *http.Request) {
		_, settings := w.(http3.Settingser)
		_, streamer := w.(http3.HTTPStreamer)
		if !settings || !streamer {
			http.Error(w, "a method is missing", http.StatusInternalServerError)
		}
	})
	// Draining HTTP/3 is quic-go's task, and no hook does it here.
	addr := serveHTTP3(t, nil, httpserver.Middleware(m)(mux))
	c := http3Client(t)
	requireOK := func(path, body string) {
		t.Helper()
		got := get(t, c, "https://"+addr+path)
		require.NoError(t, got.err)
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, body, got.body)
		require.NotContains(t, got.header, "Connection")
	}
	requireOK("/quick/1", "quick")
	requireOK("/methods", "")

	inFlight := later(t, c, "https://"+addr+"/slow")
	within(t, "the handler", slow.entered)
	require.Equal(t, []string{"GET /slow"}, taskNames(m))
	m.Begin(nil)
	ended := wait(m)
	<-m.Reached(shutdown.Drain)
	for range 10 {
		requireOK("/quick/2", "quick")
		requireOK("/methods", "")
	}
	require.Equal(t, []string{"GET /slow"}, taskNames(m), "a tracked request holds the drain")
	close(slow.open)
	got := within(t, "the answer", inFlight)
	require.NoError(t, got.err)
	require.Equal(t, "held", got.body)
	require.NotContains(t, got.header, "Connection")
	require.NoError(t, within(t, "the end of the shutdown", ended))

	late := get(t, c, "https://"+addr+"/quick/3")
	require.NoError(t, late.err)
	require.Equal(t, http.StatusServiceUnavailable, late.status)
	require.NotContains(t, late.header, "Connection")
}

func TestHTTP3ShutdownAsADrainHookDrainsTheServer(t *testing.T) {
	m := manager(t, shutdown.Config{}, nil)
	slow := newGate()
	addr := serveHTTP3(t, m, httpserver.Middleware(m)(slow))
	inFlight := later(t, http3Client(t), "https://"+addr+"/slow")
	within(t, "the handler", slow.entered)
	m.Begin(nil)
	ended := wait(m)
	<-m.Reached(shutdown.Drain)
	close(slow.open)
	got := within(t, "the answer", inFlight)
	require.NoError(t, got.err)
	require.Equal(t, http.StatusOK, got.status)
	require.NoError(t, within(t, "the end of the shutdown", ended))
}

func TestAWebTransportSessionOpens(t *testing.T) {
	for _, when := range []string{"while running", "during the shutdown"} {
		t.Run(when, func(t *testing.T) {
			m := manager(t, shutdown.Config{}, nil)
			server, trust := certificate(t)
			mux := http.NewServeMux()
			wt := &webtransport.Server{
				H3:          &http3.Server{TLSConfig: http3.ConfigureTLSConfig(server), Handler: httpserver.Middleware(m)(mux)},
				CheckOrigin: func(*http.Request) bool { return true },
			}
			webtransport.ConfigureHTTP3Server(wt.H3)
			mux.HandleFunc("/wt", func(w http.ResponseWriter, r *http.Request) {
				session, err := wt.Upgrade(w, r)
				if err != nil {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				stream, err := session.AcceptStream(session.Context())
				if err != nil {
					return
				}
				_, _ = io.Copy(stream, stream) // the client notices an error
				_ = stream.Close()
				<-session.Context().Done()
			})
			conn := listenPacket(t)
			served := make(chan error, 1)
			go func() { served <- wt.Serve(conn) }()
			t.Cleanup(func() {
				wt.Close()
				within(t, "the end of Serve", served)
			})
			release, ok := m.Track("something else")
			require.True(t, ok)
			defer release()
			ended := make(<-chan error)
			if when == "during the shutdown" {
				m.Begin(nil)
				ended = wait(m)
				<-m.Reached(shutdown.Drain)
			}

			trust.NextProtos = []string{http3.NextProtoH3}
			dialer := webtransport.Dialer{TLSClientConfig: trust, QUICConfig: &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true}}
			defer dialer.Close()
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			resp, session, err := dialer.Dial(ctx, "https://"+conn.LocalAddr().String()+"/wt", nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			stream, err := session.OpenStreamSync(ctx)
			require.NoError(t, err)
			_, err = io.WriteString(stream, "hello")
			require.NoError(t, err)
			require.NoError(t, stream.Close())
			echoed, err := io.ReadAll(stream)
			require.NoError(t, err)
			require.Equal(t, "hello", string(echoed))
			require.Equal(t, []string{"something else", "CONNECT /wt"}, taskNames(m))

			require.NoError(t, session.CloseWithError(0, ""))
			eventually(t, "the end of the handler", func() bool { return len(m.Tasks()) == 1 })
			release()
			if when == "while running" {
				m.Begin(nil)
				ended = wait(m)
			}
			require.NoError(t, within(t, "the end of the shutdown", ended))
		})
	}
}
