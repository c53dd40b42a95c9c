package httpserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// lingerBound is three times what the linger may take, 1 s, and less than what
// net/http takes.
const lingerBound = 3 * time.Second

// A stopwatch counts wake-ups, as the linger does: on a machine without CPU to
// spare, both take longer.
type stopwatch struct {
	t     testing.TB
	stop  func()
	ticks *atomic.Int64
}

func startWatch(t testing.TB) stopwatch {
	var ticks atomic.Int64
	quit := make(chan struct{})
	stop := sync.OnceFunc(func() { close(quit) })
	t.Cleanup(stop)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				ticks.Add(1)
			case <-quit:
				return
			}
		}
	}()
	return stopwatch{t, stop, &ticks}
}

// requireLinger fails if more time has passed than the linger may take.
func (w stopwatch) requireLinger() {
	w.t.Helper()
	w.stop()
	took := time.Duration(w.ticks.Load()) * 5 * time.Millisecond
	require.Less(w.t, took, lingerBound)
}

func TestWhoHasNoRequestDoesNotHoldTheDrain(t *testing.T) {
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
	dialRaw(t, addr).send("P") // fewer bytes than net/http looks at first
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
	stalled(hello) // a handshake that the client does not go on with
	shaken := tls.Client(dialRaw(t, secureAddr), clientTLS())
	require.NoError(t, shaken.HandshakeContext(t.Context()))

	watch := startWatch(t)
	require.NoError(t, end(t, m))
	watch.requireLinger()
}

// stalled sends a whole ClientHello and returns when the server has answered.
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

// silent opens connections on which nothing is sent.
func silent(t testing.TB, addr string, n int) (conns []rawConn) {
	t.Helper()
	for range n {
		conns = append(conns, dialRaw(t, addr))
	}
	return conns
}

// golang/go#22682
func TestTheControlShutdownOfNetHTTPIsHeldBySilentConnections(t *testing.T) {
	t.Parallel()
	for range 20 {
		dialled := time.Now()
		srv := handle(func(http.ResponseWriter, *http.Request) {})
		addr := serve(t, srv)
		silent(t, addr, 100)
		// Answered: those before it have been accepted.
		require.Equal(t, 200, get(t, newClient(t), "http://"+addr).status)
		ctx, cancel := context.WithTimeout(t.Context(), lingerBound)
		err := srv.Shutdown(ctx)
		cancel()
		if time.Since(dialled) < 5*time.Second { // else net/http has closed them
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return
		}
	}
	t.Fatal("this machine is too busy to tell")
}

func TestWhoSpeaksInTheLingerIsAnswered(t *testing.T) {
	tests := map[string]func(t *testing.T, addr string) rawConn{
		"a connection that was silent": dialRawT,
		"a connection that was idle": func(t *testing.T, addr string) rawConn {
			c := dialRaw(t, addr)
			c.get("/")
			c.response()
			return c
		},
		"one in the middle of a header": func(t *testing.T, addr string) rawConn {
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
				begun, linger := time.Now(), 40*time.Millisecond // less than it is
				m.Begin(nil)
				waitPhase(t, m, shutdown.Drain)
				request := "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
				if name == "one in the middle of a header" {
					linger = 450 * time.Millisecond
					time.Sleep(200 * time.Millisecond) // longer than silent ones have
					request = "\r\n"
				}
				_, _ = c.Write([]byte(request))
				if time.Since(begun) > linger {
					continue // we spoke too late
				}
				require.Equal(t, reply{status: 200, close: true}, c.response())
				c.requireEnd()
				require.NoError(t, end(t, m))
				return
			}
			t.Fatal("this machine is too busy to tell")
		})
	}
}

func dialRawT(t *testing.T, addr string) rawConn { return dialRaw(t, addr) }

// A byte now and then must not keep the server up.
func TestAHeaderThatNeverEndsIsCutOff(t *testing.T) {
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

// Many clients that each think for a while: browsers, a load balancer's pool.
func TestClientsThatSpeakNowAndThenDoNotHoldTheDrain(t *testing.T) {
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

// What the package comment says of step 3.
func TestTheTimesOfTheLinger(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
	// When a client that has sent its first bytes speaks again, from the moment
	// in which the last connection was accepted; the last of them ends its request.
	silent, half := "", "GET / HTTP/1.1\r\nHost: test\r\n"
	for name, c := range map[string]struct {
		first    string
		others   []time.Duration // when others begin to speak, and are answered
		speaks   []time.Duration
		answered bool
	}{
		"a silent one has 50 ms":                           {first: silent, speaks: ms(49), answered: true},
		"a silent one has no more":                         {first: silent, speaks: ms(61)},
		"50 ms since another one spoke":                    {first: silent, others: ms(45, 90, 135, 180, 225), speaks: ms(270), answered: true},
		"no more since another one spoke":                  {first: silent, others: ms(45, 90, 135, 180, 225), speaks: ms(290)},
		"not if the others do not speak in time":           {first: silent, others: ms(45, 110), speaks: ms(112)},
		"1 s if others speak all the time":                 {first: silent, others: every(40, 990), speaks: ms(990), answered: true},
		"no more if others speak all the time":             {first: silent, others: every(40, 1100), speaks: ms(1020)},
		"one with half a request has 500 ms":               {first: half, speaks: ms(490), answered: true},
		"one with half a request has no more":              {first: half, speaks: ms(520)},
		"one with half a request has 500 ms for each byte": {first: half, speaks: ms(490, 970), answered: true},
		"one with half a request has 1 s in all":           {first: half, speaks: ms(490, 970, 1020)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, network := manager(t, shutdown.Config{GracePeriod: 30 * time.Second}), newPipeNet()
				startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}), counted(network))
				// The listener waits for 50 ms without a connection, as it cannot look
				// into its queue.
				begin := time.Now().Add(50 * time.Millisecond)
				conn := network.dialRaw(t)
				conn.send(c.first)
				for _, at := range c.others {
					other := network.dialRaw(t)
					time.AfterFunc(time.Until(begin.Add(at)), func() { _, _ = io.WriteString(other, request) })
				}
				ended := wait(m)
				m.Begin(nil)
				rest := request[len(c.first):]
				for i, at := range c.speaks {
					time.Sleep(time.Until(begin.Add(at)))
					if i < len(c.speaks)-1 {
						conn.send("X: y\r\n")
						continue
					}
					require.Equal(t, c.answered, conn.answered(rest))
				}
				require.NoError(t, <-ended)
			})
		})
	}
}

// answered sends the rest of a request, and reports whether it was answered, or
// else the connection had ended.
func (c rawConn) answered(request string) bool {
	c.t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		require.ErrorIs(c.t, err, syscall.EPIPE)
		return false
	}
	require.Equal(c.t, reply{status: 200, close: true}, c.response())
	c.requireEnd()
	return true
}

// counted is a network with connections that no map can have as a key, so what
// is read from them is counted, as it is with TCP.
func counted(n *pipeNet) net.Listener {
	return wrapping{n, func(c net.Conn) net.Conn { return valueConn{Conn: c} }}
}

func ms(list ...int) (ds []time.Duration) {
	for _, n := range list {
		ds = append(ds, time.Duration(n)*time.Millisecond)
	}
	return ds
}

// every is ms for each step up to the end.
func every(step, end int) (ds []time.Duration) {
	for n := step; n <= end; n += step {
		ds = append(ds, ms(n)...)
	}
	return ds
}

// The caller's tls.NewListener is such a listener.
func TestClientsThatKeepDiallingDoNotHoldTheDrainOfAListenerThatNobodyCanLookInto(t *testing.T) {
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

func TestTheDrainEndsWithTheLastReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, g, network := manager(t, shutdown.Config{GracePeriod: 30 * time.Second}), newGate(t), newPipeNet()
		startOn(t, m, &http.Server{Handler: g}, network)
		replies := later(t, network.client(t, protocols["HTTP/1.1"]), "http://pipe")
		within(t, "the request", g.entered)
		ended := wait(m)
		m.Begin(nil)
		time.Sleep(10*time.Second + time.Millisecond) // beside every tick
		opened := time.Now()
		g.Open()
		require.NoError(t, within(t, "the reply", replies).err)
		require.NoError(t, within(t, "the end", ended))
		require.Zero(t, time.Since(opened)) // wait_bench_test.go measures it
	})
}

// The GOAWAY takes a second look, 50 ms after the first.
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
		require.Less(t, time.Since(begun), 200*time.Millisecond) // 50 ms of it are the listener's
	})
}
