package httpserver_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestConnectionsWithoutARequestDoNotDelayTheDrain(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
	srv := handle(func(http.ResponseWriter, *http.Request) {})
	addr := start(t, m, srv)
	secure := handle(func(http.ResponseWriter, *http.Request) {})
	var secureAddr string
	protocols["HTTP/2 over TLS"].serve(t, secure, func(ln net.Listener) {
		startOn(t, m, secure, ln)
		secureAddr = ln.Addr().String()
	})

	silent(t, addr, 100)
	dialRaw(t, addr).send("GET / HTTP/1.1\r\nHos")
	dialRaw(t, addr).send("P") // fewer bytes than net/http reads first
	post := dialRaw(t, addr)
	post.get("/")
	post.response()
	post.send("POST / HTTP/1.1\r\n") // the second request of a connection
	idle := newClient(t)
	require.Equal(t, 200, get(t, idle, "http://"+addr).status)
	idle2 := protocols["HTTP/2 over TLS"].client(t)
	require.Equal(t, 200, get(t, idle2, "https://"+secureAddr).status)

	silent(t, secureAddr, 10)
	dialRaw(t, secureAddr).send("\x16\x03\x01\x00\xf0\x01\x00") // a ClientHello that stops
	hello := dialRaw(t, secureAddr)
	stalled(hello) // a handshake that the client does not continue
	connected := tls.Client(dialRaw(t, secureAddr), clientTLS())
	require.NoError(t, connected.HandshakeContext(t.Context()))

	watch := startWatch(t)
	require.NoError(t, end(t, m))
	watch.requireLinger()
}

// stalled sends a complete ClientHello and returns when the server has answered.
func stalled(c rawConn) {
	client, server := net.Pipe()
	go func() { _ = tls.Client(client, clientTLS()).Handshake() }()
	hello := make([]byte, 16<<10)
	n, err := server.Read(hello)
	require.NoError(c.t, err)
	_ = server.Close()
	c.send(string(hello[:n]))
	_, err = c.r.Peek(1)
	require.NoError(c.t, err)
}

// silent opens connections and sends nothing on them.
func silent(t testing.TB, addr string, n int) (conns []rawConn) {
	t.Helper()
	for range n {
		conns = append(conns, dialRaw(t, addr))
	}
	return conns
}

// golang/go#22682
func TestControlSilentConnectionsDelayShutdownOfNetHTTP(t *testing.T) {
	t.Parallel()
	for range 20 {
		dialled := time.Now()
		srv := handle(func(http.ResponseWriter, *http.Request) {})
		addr := serve(t, srv)
		silent(t, addr, 100)
		// A response means that the connections before have been accepted.
		require.Equal(t, 200, get(t, newClient(t), "http://"+addr).status)
		ctx, cancel := context.WithTimeout(t.Context(), lingerBound)
		err := srv.Shutdown(ctx)
		cancel()
		if time.Since(dialled) < 5*time.Second { // after that, net/http closes them
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return
		}
	}
	t.Fatal("this machine is too slow for this test")
}

func TestARequestSentDuringTheLingerIsAnswered(t *testing.T) {
	tests := map[string]func(t *testing.T, addr string) rawConn{
		"a connection that was silent": dialRawT,
		"a connection that was idle": func(t *testing.T, addr string) rawConn {
			c := dialRaw(t, addr)
			c.get("/")
			c.response()
			return c
		},
		"a connection with part of a header": func(t *testing.T, addr string) rawConn {
			c := dialRaw(t, addr)
			c.send("GET /first HTTP/1.1\r\nHost: test\r\n")
			return c
		},
	}
	for name, connect := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				m := manager(t, shutdown.Config{})
				addr := start(t, m, handle(func(http.ResponseWriter, *http.Request) {}))
				c := connect(t, addr)
				begun, linger := time.Now(), 40*time.Millisecond // a little less than it is
				m.Begin(nil)
				waitPhase(t, m, shutdown.Drain)
				request := "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
				if name == "a connection with part of a header" {
					linger = 450 * time.Millisecond
					time.Sleep(200 * time.Millisecond) // longer than silent connections linger
					request = "\r\n"
				}
				_, _ = c.Write([]byte(request))
				if time.Since(begun) > linger {
					continue // this client was too late
				}
				require.Equal(t, reply{status: 200, close: true}, c.response())
				c.requireEnd()
				require.NoError(t, end(t, m))
				return
			}
			t.Fatal("this machine is too slow for this test")
		})
	}
}

func dialRawT(t *testing.T, addr string) rawConn { return dialRaw(t, addr) }

// A client that sends a byte from time to time must not delay the drain.
func TestAnEndlessHeaderIsCutOff(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
	c := dialRaw(t, start(t, m, handle(func(http.ResponseWriter, *http.Request) {})))
	c.send("GET / HTTP/1.1\r\nX: ")
	watch := startWatch(t)
	ended := wait(m)
	m.Begin(nil)
	for deadline := time.Now().Add(soon); ; {
		_, _ = c.Write([]byte("x"))
		select {
		case err := <-ended:
			require.NoError(t, err)
			watch.requireLinger()
			return
		case <-time.After(20 * time.Millisecond):
			require.True(t, time.Now().Before(deadline))
		}
	}
}

// Such clients are browsers and the pools of load balancers.
func TestClientsWithOccasionalRequestsDoNotDelayTheDrain(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
	conns := silent(t, start(t, m, handle(slowly)), 200)
	watch := startWatch(t)
	ended := wait(m)
	m.Begin(nil)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for len(ended) == 0 && len(conns) > 0 {
		<-tick.C
		_, _ = conns[0].Write([]byte("GET / HTTP/1.1\r\nHost: test\r\n\r\n"))
		conns = conns[1:]
	}
	require.NoError(t, within(t, "the end", ended))
	watch.requireLinger()
}

func slowly(http.ResponseWriter, *http.Request) { time.Sleep(15 * time.Millisecond) }

// A tls.NewListener around a listener of package net is opaque.
func TestClientsThatKeepDiallingDoNotDelayTheDrainOfAnOpaqueListener(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
	ln := opaque{netListen(t)}
	startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}), ln)
	stop := make(chan struct{})
	dialling := make(chan struct{})
	go func() {
		defer close(dialling)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				refused("tcp", ln.Addr().String())
			}
		}
	}()
	watch := startWatch(t)
	err := end(t, m)
	close(stop)
	<-dialling
	require.NoError(t, err)
	watch.requireLinger()
}

func TestTheDrainEndsWithTheLastResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, g, network := manager(t, shutdown.Config{GracePeriod: 30 * time.Second}), newGate(t), newPipeNet()
		startOn(t, m, &http.Server{Handler: g}, network)
		replies := later(t, network.client(t, protocols["HTTP/1.1"]), "http://pipe")
		within(t, "the request", g.entered)
		ended := wait(m)
		m.Begin(nil)
		time.Sleep(10*time.Second + time.Millisecond) // not at a tick
		opened := time.Now()
		g.Open()
		require.NoError(t, within(t, "the reply", replies).err)
		require.NoError(t, within(t, "the end", ended))
		require.Zero(t, time.Since(opened)) // wait_bench_test.go measures it
	})
}

// The connection lingers for another 50 ms after the GOAWAY.
func TestAnIdleHTTP2ConnectionLingersAsLongAsAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, network := manager(t, shutdown.Config{}), newPipeNet()
		srv := &http.Server{Handler: http.NotFoundHandler()}
		protocols["h2c"].configure(srv)
		startOn(t, m, srv, counted(network))
		c := h2On(network.dialRaw(t))
		c.get("/")
		c.read(frameHeaders, flagEndHeaders)
		c.ping()
		begun := time.Now()
		require.NoError(t, end(t, m))
		require.Less(t, time.Since(begun), 200*time.Millisecond) // the listener takes 50 ms of it
	})
}
