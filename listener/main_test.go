package listener_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

// soon is a limit for what should happen at once; no test waits for it to pass.
const soon = 50 * time.Second

func soonContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	return ctx
}

func listen(t *testing.T, network, addr string) *listener.Listener {
	t.Helper()
	ln, err := listener.Listen(t.Context(), network, strings.Replace(addr, "127.0.0.1", loopback.Host(), 1))
	if network == "tcp6" {
		skipWithoutIPv6(t, err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// skipWithoutIPv6 skips the test if err, of a listen on an IPv6 address, says that this host
// has none.
func skipWithoutIPv6(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skipf("no IPv6 here: %v", err)
	}
}

func netListen(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

// socketPath does not use t.TempDir, which contains the name of the test: the path of
// a socket may have only some 100 characters.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// A client has been connected by the kernel and has sent a request. It cannot tell
// whether its connection has been accepted.
type client struct{ conn net.Conn }

func dial(t *testing.T, addr net.Addr) client {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := client{conn}
	require.NoError(t, c.send())
	return c
}

func dialMany(t *testing.T, addr net.Addr, n int) []client {
	t.Helper()
	clients := make([]client, n)
	for i := range clients {
		clients[i] = dial(t, addr)
	}
	for _, c := range clients {
		requireArrived(t, c.conn)
	}
	return clients
}

func (c client) send() error {
	_, err := c.conn.Write([]byte("ping"))
	return err
}

func (c client) receive() error {
	if err := c.conn.SetReadDeadline(time.Now().Add(soon)); err != nil {
		return err
	}
	answer, err := io.ReadAll(c.conn)
	if err == nil && string(answer) != "ping" {
		err = fmt.Errorf("answer %q", answer)
	}
	return err
}

// lost returns how many clients get no answer.
func lost(clients []client) (n int) {
	for _, c := range clients {
		if c.receive() != nil {
			n++
		}
	}
	return n
}

// A server answers connections, with one or more accept loops.
type server struct {
	loops, conns sync.WaitGroup
	mu           sync.Mutex
	served       int
	ends         []error // what Accept has returned at the end of each loop
}

func serve(t *testing.T, ln net.Listener, loops int) *server {
	s := new(server)
	for range loops {
		s.loops.Go(func() {
			err := s.loop(ln)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ends = append(s.ends, err)
		})
	}
	t.Cleanup(func() {
		ln.Close()
		s.wait()
	})
	return s
}

func (s *server) loop(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, syscall.EMFILE) {
			continue
		}
		if err != nil {
			return err
		}
		s.conns.Go(func() {
			defer conn.Close()
			request := make([]byte, 4)
			if _, err := io.ReadFull(conn, request); err == nil {
				_, _ = conn.Write(request)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.served++
		})
	}
}

// wait returns when the loops have returned and all connections are finished.
func (s *server) wait() (served int, ends []error) {
	s.loops.Wait()
	s.conns.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served, s.ends
}
