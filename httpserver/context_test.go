package httpserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// short is a shutdown whose Drain ends after shortDrain. The contexts end a fifth of that
// earlier. It is for tests with virtual time: on a busy machine, requests would have no
// time to end after their cancellation.
var short = shutdown.Config{Timeout: shortDrain + 400*time.Millisecond, Reserve: 400 * time.Millisecond}

const (
	shortDrain = 3600 * time.Millisecond
	shortWork  = shortDrain - shortDrain/5
)

func TestARequestIsCancelledInTimeToAnswer(t *testing.T) {
	for name, proto := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				requestIsCancelled(t, proto, func(m *shutdown.Manager, n *pipeNet, h http.Handler) {
					srv := &http.Server{Handler: h}
					proto.configure(srv)
					startOn(t, m, srv, n)
				})
			})
		})
	}
	t.Run("Middleware without Start", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			requestIsCancelled(t, protocols["HTTP/1.1"], func(m *shutdown.Manager, n *pipeNet, h http.Handler) {
				srv := &http.Server{Handler: httpserver.Middleware(m)(h)}
				go func() { _ = srv.Serve(n) }()
				t.Cleanup(func() { _ = srv.Close() })
			})
		})
	})
}

func requestIsCancelled(t *testing.T, proto protocol, serve func(*shutdown.Manager, *pipeNet, http.Handler)) {
	m, network := manager(t, short), newPipeNet()
	began, cancelled := make(chan struct{}), make(chan time.Duration, 1)
	serve(m, network, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		if found, ok := shutdown.FromContext(r.Context()); !ok || found != m {
			return
		}
		<-r.Context().Done()
		cancelled <- time.Since(m.Report().Begun)
		http.Error(w, context.Cause(r.Context()).Error(), http.StatusServiceUnavailable)
	}))
	replies := later(t, network.client(t, proto), proto.scheme()+"pipe")
	within(t, "the request", began)
	// The request was in flight when its context ended, so the shutdown has cut it off
	// although it was answered.
	err := end(t, m)
	require.ErrorIs(t, err, shutdown.ErrTimeout)
	require.EqualError(t, err, "shutdown: timed out: 1 task cut off: GET / (2.88s)", "the server's hook returns no error")
	r := within(t, "the reply", replies)
	require.NoError(t, r.err)
	require.Equal(t, http.StatusServiceUnavailable, r.status)
	require.Contains(t, r.body, shutdown.ErrTimeout.Error())
	require.Equal(t, shortWork, <-cancelled)
	require.Less(t, m.Report().Took, shortDrain)
}

func TestForceCancelsTheRequests(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	began, cause := make(chan struct{}), make(chan error, 1)
	addr := start(t, m, handle(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	}))
	later(t, newClient(t), "http://"+addr)
	within(t, "the request", began)
	why := errors.New("enough")
	m.Force(why)
	require.ErrorIs(t, within(t, "the end", wait(m)), shutdown.ErrForced)
	err := within(t, "the request", cause)
	require.ErrorIs(t, err, shutdown.ErrForced)
	require.ErrorIs(t, err, why)
}

// In such a short Drain, hooks time out before WorkContext ends. On a busy machine this
// may happen in any Drain.
func TestTheCauseOfACutOffRequestIsNotTheEndOfItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, network := manager(t, shutdown.Config{Timeout: 150 * time.Millisecond, Reserve: 100 * time.Millisecond}), newPipeNet()
		began, cause := make(chan struct{}), make(chan error, 1)
		startOn(t, m, handle(func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
		}), network)
		network.dialRaw(t).get("/")
		within(t, "the request", began)
		require.Error(t, end(t, m))
		require.ErrorIs(t, within(t, "the request", cause), shutdown.ErrTimeout)
	})
}

type ctxKey string

func TestTheCallersServerHooksAreStillCalled(t *testing.T) {
	t.Parallel()
	var (
		mu     sync.Mutex
		states []http.ConnState
		conns  = map[net.Conn]bool{} // true if it is what the listener returned
	)
	saw := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		_, conns[c] = c.(*net.TCPConn)
	}
	m := manager(t, shutdown.Config{})
	ln := listen(t)
	srv := &http.Server{
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), ctxKey("base"), l.Addr().String())
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			saw(c)
			return context.WithValue(ctx, ctxKey("conn"), c.LocalAddr().String())
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			saw(c)
			mu.Lock()
			defer mu.Unlock()
			states = append(states, state)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Context().Value(ctxKey("base")).(string)+" "+r.Context().Value(ctxKey("conn")).(string))
		}),
	}
	startOn(t, m, srv, ln)
	addr := ln.Addr().String()
	require.Equal(t, addr+" "+addr, get(t, newClient(t), "http://"+addr).body)
	require.NoError(t, end(t, m))
	eventually(t, "the last state", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(states) == 4
	})
	require.Equal(t, []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateClosed}, states)
	require.Len(t, conns, 1)
	for c, bare := range conns {
		require.True(t, bare, "%T", c)
	}
}

// The caller's ConnState may use something that its Close hooks close.
func TestTheDrainEndsAfterTheLastConnState(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	var closed atomic.Bool
	srv := handle(func(http.ResponseWriter, *http.Request) {})
	srv.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			time.Sleep(20 * time.Millisecond) // any work
			closed.Store(true)
		}
	}
	addr := start(t, m, srv)
	require.NoError(t, get(t, newClient(t), "http://"+addr).err)
	require.NoError(t, end(t, m))
	require.True(t, closed.Load())
}

// net/http calls ConnectionState of a connection that is not a *tls.Conn, for
// Request.TLS.
func TestAConnectionOfTheCallersTypeKeepsItsMethods(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	ln := listen(t)
	var secure bool
	startOn(t, m, handle(func(_ http.ResponseWriter, r *http.Request) { secure = r.TLS != nil }),
		wrapping{tls.NewListener(ln, config), func(c net.Conn) net.Conn { return &myTLSConn{c.(*tls.Conn)} }})
	require.NoError(t, get(t, protocols["HTTPS"].client(t), "https://"+ln.Addr().String()).err)
	require.True(t, secure)
}

type myTLSConn struct{ *tls.Conn }

// A listener for the PROXY protocol returns such connections, and net/http puts TLS
// around them.
func TestTLSAroundAConnectionOfTheCallersTypeIsDrained(t *testing.T) {
	for _, name := range []string{"HTTPS", "HTTP/2 over TLS"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			srv := &http.Server{Handler: g}
			url := protocols[name].serve(t, srv, func(ln net.Listener) {
				startOn(t, m, srv, wrapping{ln, func(c net.Conn) net.Conn { return &myConn{c} }})
			})
			replies := later(t, protocols[name].client(t), url)
			within(t, "the request", g.entered)
			silent := dialRaw(t, strings.TrimPrefix(url, "https://"))
			ended := wait(m)
			m.Begin(nil)
			silent.requireEnd() // the server knows that this one has no request and the other one has
			g.Open()
			r := within(t, "the reply", replies)
			require.NoError(t, r.err)
			require.Equal(t, "held", r.body)
			require.NoError(t, within(t, "the end", ended))
		})
	}
}

type myConn struct{ net.Conn }

func TestAConnectionNeedNotBeComparable(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	ln := listen(t)
	startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}),
		wrapping{ln, func(c net.Conn) net.Conn { return valueConn{c, nil} }})
	require.NoError(t, get(t, newClient(t), "http://"+ln.Addr().String()).err)
}

type valueConn struct {
	net.Conn
	peeked []byte
}

// A wrapping listener changes the connections that Accept returns.
type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}
