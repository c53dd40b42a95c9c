package listener_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	for name, config := range map[string]net.ListenConfig{
		"alone":                                  {},
		"with SO_REUSEPORT, and no other socket": reusePort,
	} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
			t.Run(name+" "+address, func(t *testing.T) {
				t.Parallel()
				ln, err := listener.ListenWith(t.Context(), config, "tcp", strings.Replace(address, "127.0.0.1", loopback.Host(), 1))
				if address == "[::1]:0" {
					skipWithoutIPv6(t, err)
				}
				require.NoError(t, err)
				waiting := dialMany(t, ln.Addr(), 3) // keeps the drain from ending, and shows that dialling works
				drained := startDrain(t, ln)

				// For the unspecified address, this dials a loopback address.
				_, err = net.DialTimeout("tcp", ln.Addr().String(), 10*time.Second)
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
// would reset the handshake.
func TestADialDuringASlowHandshakeDoesNotConnect(t *testing.T) {
	t.Parallel()
	for name, drain := range drains {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unlessLate(t, handshakeLimit, func() (took time.Duration, err error) {
				ln, slow := halfOpen(t, "tcp4", "127.0.0.1:0")
				begun := time.Now()
				ctx := watch(soonContext(t))
				drained := start(func() error { return drain(ctx, ln) })
				ctx.await(t)
				_, err = net.DialTimeout("tcp", ln.Addr().String(), 100*time.Millisecond)
				var timeout net.Error
				if name == refused && !errors.Is(err, syscall.ECONNREFUSED) {
					return time.Since(begun), fmt.Errorf("a dial was not refused: %w", err)
				}
				if name != refused && (!errors.As(err, &timeout) || !timeout.Timeout()) {
					return time.Since(begun), fmt.Errorf("a dial was answered: %w", err)
				}
				err = errors.Join(slow.send(), slow.receive())
				require.NoError(t, <-drained)
				_, late := net.Dial("tcp", ln.Addr().String())
				require.ErrorIs(t, late, syscall.ECONNREFUSED)
				return time.Since(begun), err
			})
		})
	}
}

// With SO_REUSEPORT the kernel spreads SYNs over the sockets of a group. While one of
// them drains, its share is dropped; clients repeat those SYNs.
func TestADrainingListenerGetsNoMoreOfTheConnectionsOfItsGroup(t *testing.T) {
	t.Parallel()
	for name, drain := range drains {
		for _, address := range []string{loopback.Addr(), "[::1]:0"} {
			t.Run(name+" "+address, func(t *testing.T) {
				t.Parallel()
				const mine = 3
				first, err := listener.ListenWith(t.Context(), reusePort, "tcp", address)
				if address == "[::1]:0" {
					skipWithoutIPv6(t, err)
				}
				require.NoError(t, err)
				waiting := dialMany(t, first.Addr(), mine)
				second, err := listener.ListenWith(t.Context(), reusePort, "tcp", first.Addr().String())
				require.NoError(t, err)
				ctx := watch(soonContext(t))
				drained := start(func() error { return drain(ctx, first) })
				ctx.await(t)
				other := serve(t, second, 1)

				// With half of the SYNs for each, no SYN would be for the first in one run of a million.
				var dials sync.WaitGroup
				var dropped atomic.Int64
				for range 20 {
					dials.Go(func() {
						if err := roundTrip(first.Addr()); errors.Is(err, errRepeated) {
							dropped.Add(1)
						} else if err != nil {
							t.Error(err)
						}
					})
				}
				require.Eventually(t, func() bool { // the others wait until they repeat their SYN
					other.mu.Lock()
					defer other.mu.Unlock()
					return other.served > 0
				}, soon, time.Millisecond)
				s := serve(t, first, 1)
				require.NoError(t, <-drained)
				require.Zero(t, lost(waiting))
				dials.Wait()
				served, _ := s.wait()
				require.Equal(t, mine, served)
				require.NotZero(t, dropped.Load())
			})
		}
	}
}

func TestTheSocketChangesOnlyDuringTheDrain(t *testing.T) {
	for name, drain := range drains {
		t.Run(name, func(t *testing.T) {
			ln := listen(t, "tcp", ":0") // for both families
			requireUnchanged(t, ln)
			dial(t, ln.Addr())
			ctx := watch(soonContext(t))
			drained := start(func() error { return drain(ctx, ln) })
			ctx.await(t)
			fd, err := listeningSocket(ln.Addr())
			require.NoError(t, err)
			now, want := stateOf(t, fd), socketState{}
			switch {
			case name == refused:
				want.device = math.MaxInt32
			case name == filtered && now.filter > 0:
				want.filter, want.device = now.filter, now.device
			case name == filtered && has(t, unix.CAP_NET_ADMIN):
				t.Error("no filter")
			default:
				want.ttl, want.hops, want.device = 255, 255, now.device
			}
			require.Equal(t, want, now)
			serve(t, ln, 1)
			require.NoError(t, <-drained)
		})
	}
}

// BenchmarkDrain measures drains under 32 clients that dial without pause. Of the dials
// in a drain, those whose SYN was dropped are held up for a second.
func BenchmarkDrain(b *testing.B) {
	for name, drain := range drains {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			var heldUp atomic.Int64
			for b.Loop() {
				ln, err := listener.Listen(b.Context(), "tcp", loopback.Addr())
				require.NoError(b, err)
				s := new(server)
				s.loops.Go(func() { _ = s.loop(ln) })
				var clients, warm sync.WaitGroup
				for range 32 {
					warm.Add(1)
					warmed := sync.OnceFunc(warm.Done)
					clients.Go(func() {
						defer warmed()
						err := roundTrip(ln.Addr())
						for ; err == nil; err = roundTrip(ln.Addr()) {
							warmed()
						}
						if errors.Is(err, errRepeated) {
							heldUp.Add(1)
						} else if !errors.Is(err, syscall.ECONNREFUSED) {
							b.Errorf("a connection was lost: %v", err)
						}
					})
				}
				warm.Wait()
				begun := time.Now()
				require.NoError(b, drain(b.Context(), ln))
				took = append(took, time.Since(begun))
				clients.Wait()
				s.wait()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(heldUp.Load())/float64(len(took)), "held-up")
			b.ReportMetric(0, "ns/op") // it includes the warm-up
		})
	}
}

// If a minimum TTL keeps SYNs out, a connection whose handshake completes during the
// drain inherits it, and receives nothing from clients that send with a lower TTL.
func TestAConnectionOfTheDrainIsLikeAnyOther(t *testing.T) {
	t.Parallel()
	for name, drain := range drains {
		for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
			t.Run(name+" "+network, func(t *testing.T) {
				t.Parallel()
				unlessLate(t, handshakeLimit, func() (took time.Duration, err error) {
					ln := listen(t, network, addr)
					c := dialHalfOpen(t, ln)
					begun := time.Now()
					ctx := watch(soonContext(t))
					drained := start(func() error { return drain(ctx, ln) })
					ctx.await(t)
					require.NoError(t, c.send())
					conn, err := ln.Accept()
					if err != nil {
						return time.Since(begun), err
					}
					defer conn.Close()
					require.NoError(t, <-drained)
					raw, err := conn.(*net.TCPConn).SyscallConn()
					require.NoError(t, err)
					require.NoError(t, raw.Control(func(fd uintptr) {
						state := stateOf(t, int(fd))
						state.filter = 0 // it drops SYNs, which a connection does not need
						if name != refused {
							state.device = 0 // it was bound to an interface before
						}
						require.Equal(t, socketState{}, state)
					}))
					return 0, nil
				})
			})
		}
	}
}

// drains are the ways in which Drain keeps new clients out.
var drains = map[string]func(context.Context, *listener.Listener) error{
	refused: func(ctx context.Context, ln *listener.Listener) error {
		return drainWithout(ctx, ln, unix.CAP_NET_RAW, unix.CAP_NET_ADMIN)
	},
	filtered: func(ctx context.Context, ln *listener.Listener) error {
		return errors.Join(bindToLoopback(ln), drainWithout(ctx, ln, unix.CAP_NET_RAW))
	},
	"SYNs dropped by a minimum TTL": func(ctx context.Context, ln *listener.Listener) error {
		return errors.Join(bindToLoopback(ln), drainWithout(ctx, ln, unix.CAP_NET_RAW, unix.CAP_NET_ADMIN))
	},
}

const (
	refused  = "SYNs refused"
	filtered = "SYNs dropped by a filter"
)

// bindToLoopback binds the listener to an interface. Only CAP_NET_RAW can then change it.
func bindToLoopback(ln *listener.Listener) error {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	fd, err := listeningSocket(ln.Addr())
	if err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, lo.Index)
}

func drainWithout(ctx context.Context, ln *listener.Listener, capabilities ...int) error {
	return <-start(func() error {
		runtime.LockOSThread() // without unlocking it: the thread ends with the goroutine
		header, data, err := capabilitiesOfThread()
		if err != nil {
			return err
		}
		for _, c := range capabilities {
			data[0].Effective &^= 1 << c
		}
		if err := unix.Capset(&header, &data[0]); err != nil {
			return err
		}
		return ln.Drain(ctx)
	})
}

func has(t *testing.T, capability int) bool {
	_, data, err := capabilitiesOfThread()
	require.NoError(t, err)
	return data[0].Effective&(1<<capability) != 0
}

func capabilitiesOfThread() (header unix.CapUserHeader, data [2]unix.CapUserData, err error) {
	header.Version = unix.LINUX_CAPABILITY_VERSION_3
	return header, data, unix.Capget(&header, &data[0])
}

// socketState is what Drain may change in a listening socket.
type socketState struct {
	device, ttl, hops int
	filter            uint32 // instructions
}

func stateOf(t *testing.T, fd int) (s socketState) {
	t.Helper()
	var err error
	s.device, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
	require.NoError(t, err)
	s.ttl, err = unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL)
	require.NoError(t, err)
	s.hops = s.ttl // an IPv4 socket has only one of them
	if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && domain == unix.AF_INET6 {
		s.hops, err = unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT)
		require.NoError(t, err)
	}
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET,
		unix.SO_GET_FILTER, 0, uintptr(unsafe.Pointer(&s.filter)), 0)
	require.Zero(t, errno)
	return s
}

func requireUnchanged(t *testing.T, ln net.Listener) {
	t.Helper()
	fd, err := listeningSocket(ln.Addr())
	require.NoError(t, err)
	require.Equal(t, socketState{}, stateOf(t, fd))
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

// listeningSocket returns this process's file descriptor of a listener.
func listeningSocket(addr net.Addr) (fd int, err error) {
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
		if got.Port() == want.Port() && got.Addr().Unmap() == want.Addr().Unmap().WithZone("") {
			return fd, nil
		}
	}
	return 0, fmt.Errorf("no socket listens on %s", addr)
}

var reusePort = net.ListenConfig{Control: control(func(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
})}

// control makes a function for net.Dialer or net.ListenConfig of one that sets options.
func control(set func(fd int) error) func(_, _ string, _ syscall.RawConn) error {
	return func(_, _ string, socket syscall.RawConn) (err error) {
		return errors.Join(socket.Control(func(fd uintptr) { err = set(int(fd)) }), err)
	}
}
