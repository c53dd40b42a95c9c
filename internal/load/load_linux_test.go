package load_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestTheEndOfTheContextCancelsDials(t *testing.T) {
	run, stop := start(t, load.Clients{N: 2, Addr: unresponsive(t)})
	time.Sleep(20 * time.Millisecond) // whether or not a dial is in progress, nothing is lost
	stop()

	result := run.Wait()
	require.LessOrEqual(t, result.HeldUp, 2)
	result.HeldUp = 0
	require.Equal(t, load.Result{}, result)
}

func TestADialWithoutAnAnswerForHalfASecondIsHeldUp(t *testing.T) {
	run, stop := start(t, load.Clients{N: 2, Addr: unresponsive(t), Timeout: 600 * time.Millisecond})
	require.Eventually(t, func() bool { return run.Lost() >= 2 }, soon, time.Millisecond)
	stop()
	require.GreaterOrEqual(t, run.Wait().HeldUp, 2)
}

func TestADialWithoutAnAnswerIsLost(t *testing.T) {
	requireOnlyKind(t, "dial timeout", loseSome(t, load.Clients{N: 2, Addr: unresponsive(t), Timeout: 50 * time.Millisecond}))
}

// unresponsive returns the address of a listener whose queue is full, so that the kernel
// drops every SYN.
func unresponsive(t *testing.T) (addr string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(fd, 0))
	name, err := unix.Getsockname(fd)
	require.NoError(t, err)
	addr = fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	// For a listener, these are the length of its queue and its limit. The kernel accepts
	// one connection more than the limit.
	require.Eventually(t, func() bool {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && info.Unacked > info.Sacked
	}, soon, time.Millisecond)
	return addr
}
