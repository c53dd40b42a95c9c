package load_test

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestTheEndOfTheContextGivesUpDials(t *testing.T) {
	run, stop := start(t, load.Clients{N: 2, Addr: deaf(t)})
	time.Sleep(20 * time.Millisecond) // whether a dial is under way cannot be seen; either way nothing is lost
	stop()

	require.Equal(t, load.Result{}, run.Wait())
}

func TestADialThatNobodyAnswersIsLost(t *testing.T) {
	requireOnlyKind(t, "dial timeout", loseSome(t, load.Clients{N: 2, Addr: deaf(t), Timeout: 50 * time.Millisecond}))
}

// deaf returns the address of a listener whose queue is full: the kernel drops
// every further SYN.
func deaf(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	addr = fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		cancel()
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}
