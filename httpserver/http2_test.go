package httpserver_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestHTTP2RequestsInFlightFinishAndTheClientGetsAGoAway(t *testing.T) {
	for _, name := range []string{"HTTP/2 over TLS", "h2c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proto, g := protocols[name], newGate(t)
			m := manager(t, shutdown.Config{})
			mux := http.NewServeMux()
			mux.Handle("/held", g)
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
			srv := &http.Server{Handler: mux}
			url := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) })

			c := proto.client(t)
			first := get(t, c, url)
			require.NoError(t, first.err)
			require.Equal(t, 2, first.proto)
			require.Equal(t, first.body, get(t, c, url).body, "there is one connection")
			inFlight := later(t, c, url+"/held")
			within(t, "the request", g.entered)

			freeze := frozen(t, m)
			g.Open()
			require.Equal(t, reply{status: 200, reused: true, proto: 2, body: "held"}, within(t, "the reply", inFlight))
			// The GOAWAY comes with the response or a moment later.
			eventually(t, "a new connection", func() bool {
				r := get(t, c, url)
				require.NoError(t, r.err)
				return r.body != first.body
			})
			freeze.Open()
			require.NoError(t, end(t, m))
			// The old client may not have noticed the end of its connection, so it may
			// get another error.
			require.Error(t, get(t, c, url).err)
			require.ErrorIs(t, get(t, proto.client(t), url).err, syscall.ECONNREFUSED)
		})
	}
}

func TestHTTP2IsNegotiated(t *testing.T) {
	tests := map[string]struct {
		config *tls.Config // of the server
		wrap   *tls.Config // of the caller's listener
	}{
		"by Start":                      {config: &tls.Config{Certificates: []tls.Certificate{certificate()}}},
		"by Start, with GetCertificate": {config: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { c := certificate(); return &c, nil }}},
		"by Start, with GetConfigForClient": {config: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}, nil
		}}},
		"by the caller's tls.NewListener": {wrap: &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			var ln net.Listener = listen(t)
			url := "https://" + ln.Addr().String()
			if tt.wrap != nil {
				ln = tls.NewListener(ln, tt.wrap)
			}
			startOn(t, m, &http.Server{Handler: g, TLSConfig: tt.config}, ln)

			for _, version := range []int{1, 2} {
				proto := protocol{version: version, tls: true}
				replies := later(t, proto.client(t), url)
				within(t, "the request", g.entered)
				defer func() {
					r := within(t, "the reply", replies)
					require.NoError(t, r.err)
					require.Equal(t, version, r.proto)
					require.Equal(t, "held", r.body)
					require.NoError(t, end(t, m))
				}()
			}
			m.Begin(nil)
			waitRefused(t, ln.Addr().String())
			g.Open()
		})
	}
}

// Programs that use http.Server.Serve, which ignores TLSConfig, have such a listener.
func TestATLSListenerOfTheCallerIsNotWrappedInTLSAgain(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}
	ln := listen(t)
	startOn(t, m, &http.Server{Handler: http.NotFoundHandler(), TLSConfig: config}, tls.NewListener(ln, config))
	r := get(t, protocol{version: 2, tls: true}.client(t), "https://"+ln.Addr().String())
	require.NoError(t, r.err)
	require.Equal(t, 2, r.proto)
}
