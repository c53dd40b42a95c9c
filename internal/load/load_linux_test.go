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

func TestTheEndOfTheContextGivesUpDials(t *testing.T) {
	run, stop := start(t, load.Clients{N: 2, Addr: deaf(t)})
	time.Sleep(20 * time.Millisecond) // whether a dial is under way cannot be seen; either way nothing is lost
	stop()

	result := run.Wait()
	require.LessOrEqual(t, result.HeldUp, 2)
	result.HeldUp = 0
	require.Equal(t, load.Result{}, result)
}

func TestADialThatNobodyAnswersForHalfASecondIsHeldUp(t *testing.T) {
	run, stop := start(t, load.Clients{N: 2, Addr: deaf(t), Timeout: 600 * time.Millisecond})
	require.Eventually(t, func() bool { return run.Lost() >= 2 }, soon, time.Millisecond)
	stop()
	require.GreaterOrEqual(t, run.Wait().HeldUp, 2)
}

func TestADialThatNobodyAnswersIsLost(t *testing.T) {
	requireOnlyKind(t, "dial timeout", loseSome(t, load.Clients{N: 2, Addr: deaf(t), Timeout: 50 * time.Millisecond}))
}

// deaf returns the address of a listener whose queue is full: the kernel drops
// every further SYN.
func deaf(t *testing.T) (addr string) {
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
	// Of a listener the kernel says here how many connections are in its queue
	// and for how many there is room; one more than that is taken.
	require.Eventually(t, func() bool {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && info.Unacked > info.Sacked
	}, soon, time.Millisecond)
	return addr
}
