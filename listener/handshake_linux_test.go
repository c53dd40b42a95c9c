package listener_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/listener"
)

// With TCP_DEFER_ACCEPT the kernel does not complete a handshake before the client's
// first bytes arrive. The client considers itself connected all the while.
func TestDrainWaitsForHandshakes(t *testing.T) {
	t.Parallel()
	for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": ":0"} {
		for name, drain := range drains {
			t.Run(network+" "+name, func(t *testing.T) {
				t.Parallel()
				unlessLate(t, handshakeLimit, func() (took time.Duration, err error) {
					ln, c := halfOpen(t, network, addr)
					ctx := watch(soonContext(t))
					drained := start(func() error {
						begun := time.Now()
						defer func() { took = time.Since(begun) }()
						return drain(ctx, ln)
					})
					ctx.await(t)
					err = errors.Join(c.send(), c.receive())
					require.NoError(t, <-drained)
					return took, err
				})
			})
		}
	}
	t.Run("control: Close resets them", func(t *testing.T) {
		t.Parallel()
		ln, c := halfOpen(t, "tcp4", "127.0.0.1:0")
		require.NoError(t, ln.Close())
		_ = c.send()
		require.ErrorIs(t, c.receive(), syscall.ECONNRESET)
	})
	t.Run("also if the kernel does not list them", func(t *testing.T) {
		inChild(t, nil, func(t *testing.T) {
			unlessLate(t, unlistedLimit, func() (took time.Duration, err error) {
				ln, c := halfOpen(t, "tcp4", "127.0.0.1:0")
				var limit unix.Rlimit
				require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
				used := limit
				used.Cur = 3 // all are in use, so there is none for a socket to ask the kernel
				require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &used))
				begun := time.Now()
				drained := startDrain(t, ln) // it has asked once
				require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
				err = errors.Join(c.send(), c.receive())
				require.NoError(t, <-drained)
				return time.Since(begun), err
			})
		})
	})
	t.Run("also those of a link-local address", func(t *testing.T) {
		inNetworkNamespace(t, func(t *testing.T) {
			for _, args := range [][]string{
				{"link", "set", "lo", "up"}, // packets of this host to itself pass it
				{"tuntap", "add", "near", "mode", "tun"},
				{"link", "set", "near", "up"},
				{"-6", "addr", "add", "fe80::1/64", "dev", "near", "nodad"},
			} {
				if output, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
					t.Skipf("ip %v: %v: %s", args, err, output)
				}
			}
			unlessLate(t, handshakeLimit, func() (took time.Duration, err error) {
				ln, c := halfOpen(t, "tcp6", "[fe80::1%near]:0")
				begun := time.Now()
				drained := startDrain(t, ln)
				err = errors.Join(c.send(), c.receive())
				require.NoError(t, <-drained)
				return time.Since(begun), err
			})
		})
	})
	t.Run("but not forever", func(t *testing.T) {
		t.Parallel()
		ln, _ := halfOpen(t, "tcp4", "127.0.0.1:0")
		require.NoError(t, ln.Drain(soonContext(t)))
	})
	t.Run("nor longer than its context", func(t *testing.T) {
		t.Parallel()
		unlessLate(t, handshakeLimit, func() (time.Duration, error) {
			ln, _ := halfOpen(t, "tcp4", "127.0.0.1:0")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			begun := time.Now()
			err := ln.Drain(ctx)
			if err == nil {
				return time.Since(begun), errors.New("Drain has succeeded")
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "a handshake in progress")
			return 0, nil
		})
	})
	t.Run("nor for those of another address", func(t *testing.T) {
		t.Parallel()
		other, _ := halfOpen(t, "tcp4", "127.0.0.1:0")
		ln := listen(t, "tcp4", fmt.Sprintf("127.0.0.1:%d", other.Addr().(*net.TCPAddr).Port)) // which is yet another address
		require.NotEqual(t, other.Addr().String(), ln.Addr().String())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, ln.Drain(ctx))
	})
}

// halfOpen returns a listener that is being served, and a client that considers itself
// connected and whose handshake completes only when it sends something.
func halfOpen(t *testing.T, network, addr string) (*listener.Listener, client) {
	ln := listen(t, network, addr)
	c := dialHalfOpen(t, ln)
	serve(t, ln, 1)
	return ln, c
}

func dialHalfOpen(t *testing.T, ln net.Listener) client {
	fd, err := listeningSocket(ln.Addr())
	require.NoError(t, err)
	require.NoError(t, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 120)) // seconds, longer than any test waits
	target := ln.Addr().(*net.TCPAddr)
	if target.IP.IsUnspecified() {
		target = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: target.Port}
	}
	conn, err := net.Dial("tcp", target.String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return client{conn}
}

// These are how long Drain waits for handshakes, and for those that it cannot see.
const (
	handshakeLimit = 1500 * time.Millisecond
	unlistedLimit  = 500 * time.Millisecond
)

// unlessLate runs a test that returns how long Drain took, and an error if a connection
// was lost. On a machine that is too slow, Drain may have given the connection up; then
// the test runs again.
func unlessLate(t *testing.T, limit time.Duration, test func() (took time.Duration, err error)) {
	t.Helper()
	for round := 1; ; round++ {
		took, err := test()
		if err == nil {
			return
		}
		require.GreaterOrEqual(t, took, limit, "%v", err)
		require.Less(t, round, 6, "%v", err)
	}
}

// Client and server are connected by a network with a delay of 100 ms each way. When
// Dial returns, the last packet of the handshake has left the client and not reached
// the server.
func TestDrainOverAWideAreaNetworkLosesNoConnections(t *testing.T) {
	inNetworkNamespace(t, func(t *testing.T) {
		host := wideAreaNetwork(t, 100*time.Millisecond)
		ways := maps.Clone(drains)
		ways["Close"] = func(_ context.Context, ln *listener.Listener) error { return ln.Close() }
		for name, stop := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for range 6 {
					ln := listen(t, "tcp4", "0.0.0.0:0")
					serve(t, ln, 1)
					target := &net.TCPAddr{IP: host, Port: ln.Addr().(*net.TCPAddr).Port}
					clients := make([]client, 20)
					var dials sync.WaitGroup
					for i := range clients {
						dials.Go(func() { clients[i] = dial(t, target) })
					}
					dials.Wait()
					begun := time.Now()
					require.NoError(t, stop(soonContext(t), ln))
					took := time.Since(begun)
					n := lost(clients)
					t.Logf("lost %d of %d in %v", n, len(clients), took)
					if (n > 0) == (name == "Close") {
						return
					}
					// Either Close came so late that all connections had arrived, or this
					// process, which is the network too, was not scheduled until Drain gave
					// them up.
					if name != "Close" {
						require.GreaterOrEqual(t, took, handshakeLimit)
					}
				}
				require.Fail(t, "each round ended like this")
			})
		}
	})
}

// inNetworkNamespace runs the test in a process with a new, empty network namespace.
func inNetworkNamespace(t *testing.T, test func(t *testing.T)) {
	inChild(t, &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}, test)
}

// namespaceForbidden are the errors of unshare(2) where a user may not have a namespace, has
// too many of them, or the kernel has none.
var namespaceForbidden = []error{syscall.EPERM, syscall.EACCES, syscall.ENOSPC, syscall.EUSERS, syscall.EINVAL, syscall.ENOSYS}

// inChild runs the test in a process of its own, with attributes that need a privilege, or nil.
func inChild(t *testing.T, attributes *syscall.SysProcAttr, test func(t *testing.T)) {
	const mark = "LISTENER_TEST_CHILD"
	if os.Getenv(mark) == t.Name() {
		test(t)
		return
	}
	t.Parallel()
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run="+pattern, "-test.v", "-test.parallel=3")
	cmd.Env = append(os.Environ(), mark+"="+t.Name(),
		"GORACE=atexit_sleep_ms=0") // the race detector sleeps for 1 s by default
	cmd.SysProcAttr = attributes
	output, err := cmd.CombinedOutput()
	if attributes != nil && slices.ContainsFunc(namespaceForbidden, func(e error) bool { return errors.Is(err, e) }) {
		t.Skipf("no network namespace available: %v", err)
	}
	require.NoError(t, err, "%s", output)
	if strings.Contains(string(output), "--- SKIP") {
		t.Skipf("%s", output)
	}
	t.Logf("%s", output)
}

// wideAreaNetwork returns an address at which this host reaches itself, with a delay.
// Packets to it leave through a tun device and come back after the delay, with source
// and destination exchanged, which does not change any checksum.
func wideAreaNetwork(t *testing.T, delay time.Duration) net.IP {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no tun device available: %v", err)
	}
	request, err := unix.NewIfreq("wan")
	require.NoError(t, err)
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		t.Skipf("no tun device available: %v", err)
	}
	tun := os.NewFile(uintptr(fd), "tun") // it can be polled only now
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"link", "set", "wan", "up"}, {"addr", "add", "10.9.0.1/24", "dev", "wan"}} {
		if output, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			tun.Close()
			t.Skipf("ip %v: %v: %s", args, err, output)
		}
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			packet := make([]byte, 2048)
			n, err := tun.Read(packet)
			if err != nil {
				return
			}
			packet = packet[:n]
			if packet[0]>>4 != 4 {
				continue
			}
			source := [4]byte(packet[12:16])
			copy(packet[12:16], packet[16:20])
			copy(packet[16:20], source[:])
			time.AfterFunc(delay, func() { _, _ = tun.Write(packet) })
		}
	})
	t.Cleanup(func() {
		tun.Close()
		reader.Wait()
	})
	return net.IPv4(10, 9, 0, 2)
}
