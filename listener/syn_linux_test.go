package listener_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

// A dial during the drain is refused although an earlier connection is still in the
// queue.
func TestADialDuringTheDrainIsRefusedAtOnce(t *testing.T) {
	for name, drain := range drains {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
			t.Run(name+" "+address, func(t *testing.T) {
				t.Parallel()
				ln, err := listener.Listen(t.Context(), "tcp", strings.Replace(address, "127.0.0.1", loopback.Host(), 1))
				if err != nil {
					t.Skipf("no IPv6 here: %v", err)
				}
				waiting := dialMany(t, ln.Addr(), 3) // keeps the drain from ending, and shows that dialling works
				ctx := watch(soonContext(t))
				drained := start(func() error { return drain(ctx, ln) })
				ctx.await(t)

				// For the unspecified address, this dials a loopback address.
				_, err = net.Dial("tcp", ln.Addr().String())
				require.ErrorIs(t, err, syscall.ECONNREFUSED)
				s := serve(t, ln, 1)
				require.NoError(t, <-drained)
				require.Zero(t, lost(waiting))
				served, _ := s.wait()
				require.Equal(t, 3, served)
			})
		}
	}
}

// As long as a handshake is in progress, the port cannot be closed, because that
// would reset the handshake. Other clients get no answer meanwhile.
func TestADialDuringASlowHandshakeIsDroppedAndThenRefused(t *testing.T) {
	t.Parallel()
	for name, drain := range drains {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unlessLate(t, func() (took time.Duration, err error) {
				ln, slow := halfOpen(t, "tcp4", "127.0.0.1:0")
				begun := time.Now()
				ctx := watch(soonContext(t))
				drained := start(func() error { return drain(ctx, ln) })
				ctx.await(t)
				_, err = net.DialTimeout("tcp", ln.Addr().String(), 100*time.Millisecond)
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					return time.Since(begun), fmt.Errorf("a dial was answered: %w", err)
				}
				err = errors.Join(slow.send(), slow.receive())
				require.NoError(t, <-drained)
				_, refused := net.Dial("tcp", ln.Addr().String())
				require.ErrorIs(t, refused, syscall.ECONNREFUSED)
				return time.Since(begun), err
			})
		})
	}
}

func TestSYNsAreDroppedOnlyDuringTheDrain(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	fd := listeningSocket(t, ln.Addr())
	require.Zero(t, filterLength(t, fd))
	dial(t, ln.Addr())
	drained := startDrain(t, ln)
	ttl, err := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL)
	require.NoError(t, err)
	require.True(t, filterLength(t, fd) > 0 || ttl == 255)
	serve(t, ln, 1)
	require.NoError(t, <-drained)
}

// If the minimum TTL replaces the filter, an accepted connection inherits it and
// receives nothing from clients that send with a lower TTL.
func TestAnAcceptedConnectionDoesNotKeepTheMinimumTTL(t *testing.T) {
	ln := listen(t, "tcp4", "127.0.0.1:0")
	require.NoError(t, unix.SetsockoptInt(listeningSocket(t, ln.Addr()), unix.IPPROTO_IP, unix.IP_MINTTL, 255))
	dialer := net.Dialer{Control: func(_, _ string, socket syscall.RawConn) (err error) {
		_ = socket.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 255) })
		return err
	}}
	client, err := dialer.Dial("tcp4", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	drained := startDrain(t, ln) // waits, because the queue is not empty
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		ttl, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MINTTL)
		require.NoError(t, err)
		require.Zero(t, ttl)
	}))
	serve(t, ln, 1)
	require.NoError(t, <-drained)
}

// drains are the ways in which Drain drops SYNs.
var drains = map[string]func(context.Context, *listener.Listener) error{
	"with the privileges of the test": func(ctx context.Context, ln *listener.Listener) error { return ln.Drain(ctx) },
	"without CAP_NET_ADMIN":           drainWithoutPrivilege,
}

func drainWithoutPrivilege(ctx context.Context, ln *listener.Listener) error {
	return <-start(func() error {
		runtime.LockOSThread() // without unlocking it: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			return err
		}
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &data[0]); err != nil {
			return err
		}
		return ln.Drain(ctx)
	})
}

func requireUnfiltered(t *testing.T, ln net.Listener) {
	t.Helper()
	fd := listeningSocket(t, ln.Addr())
	require.Zero(t, filterLength(t, fd))
	ttl, err := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL)
	require.NoError(t, err)
	require.Zero(t, ttl)
}

// requireArrived waits until the server's kernel has acknowledged what the client
// has sent. By then the connection has entered the queue; when the dial returns it
// may not have.
func requireArrived(t *testing.T, conn net.Conn) {
	t.Helper()
	require.Eventually(t, func() bool { return arrived(conn) }, soon, time.Millisecond)
}

func arrived(conn net.Conn) bool {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return true // a Unix socket is in the queue when the dial returns
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	unacknowledged := -1
	err = socket.Control(func(fd uintptr) { unacknowledged, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	return err == nil && unacknowledged == 0
}

// filterLength returns the number of instructions in the socket's filter.
func filterLength(t *testing.T, fd int) uint32 {
	t.Helper()
	var n uint32
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET,
		unix.SO_GET_FILTER, 0, uintptr(unsafe.Pointer(&n)), 0)
	require.Zero(t, errno)
	return n
}

// listeningSocket returns this process's file descriptor of a listener.
func listeningSocket(t *testing.T, addr net.Addr) int {
	t.Helper()
	want := addr.(*net.TCPAddr).AddrPort()
	for fd := range 4096 {
		if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || n == 0 {
			continue
		}
		name, _ := unix.Getsockname(fd)
		var got netip.AddrPort
		switch name := name.(type) {
		case *unix.SockaddrInet4:
			got = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
		case *unix.SockaddrInet6:
			got = netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port))
		}
		if got.Port() == want.Port() && got.Addr().Unmap() == want.Addr().Unmap() {
			return fd
		}
	}
	require.Fail(t, "no such socket")
	return -1
}
