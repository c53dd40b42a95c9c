package listener_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnHTTPServerShutsDownAfterTheDrain(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	release := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		w.Header().Set("Connection", "close")
	})}
	served := start(func() error { return srv.Serve(ln) })
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	answers := make(chan error, 50)
	var connected sync.WaitGroup
	connected.Add(50)
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		defer connected.Done()
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	for range 50 {
		go func() {
			response, err := (&http.Client{Transport: transport}).Get("http://" + ln.Addr().String())
			if err == nil {
				err = response.Body.Close()
			}
			answers <- err
		}()
	}
	connected.Wait()
	require.NoError(t, ln.Drain(soonContext(t)))
	require.ErrorIs(t, <-served, net.ErrClosed)
	close(release)
	for range 50 {
		require.NoError(t, <-answers)
	}
	require.NoError(t, srv.Shutdown(soonContext(t)))
}

// net/http holds a mutex while it closes the listener, and Serve needs that mutex too.
func TestAnHTTPServerMayShutDownDuringTheDrain(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	dial(t, ln.Addr())
	drained := startDrain(t, ln)
	srv := new(http.Server)
	blocking := &blocked{Listener: ln, accepting: make(chan struct{}), closed: make(chan struct{})}
	served := start(func() error { return srv.Serve(blocking) })
	<-blocking.accepting
	require.NoError(t, srv.Shutdown(soonContext(t)))
	require.ErrorIs(t, <-drained, net.ErrClosed)
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

// blocked is a listener whose Accept waits until it has been closed, so that a drain
// cannot end before.
type blocked struct {
	net.Listener
	accepting, closed chan struct{}
	once              sync.Once
}

func (l *blocked) Accept() (net.Conn, error) {
	close(l.accepting)
	<-l.closed
	return l.Listener.Accept()
}

func (l *blocked) Close() error {
	defer l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
