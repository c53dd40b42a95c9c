package listener_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

func TestKeepAliveIsTheSameAsWithNetListen(t *testing.T) {
	options := func(ln net.Listener, before func()) (values [4]int) {
		dialMany(t, ln.Addr(), 1)
		before()
		conn, err := ln.Accept()
		require.NoError(t, err)
		defer conn.Close()
		raw, err := conn.(*net.TCPConn).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			if values[0], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); values[0] == 0 {
				return // the others have no effect
			}
			values[1], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			values[2], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
			values[3], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
		}))
		return values
	}
	for name, config := range map[string]net.ListenConfig{
		"default": {},
		"none":    {KeepAlive: -1},
		"idle":    {KeepAlive: 40 * time.Second},
		"own":     {KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 7 * time.Second, Count: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := config.Listen(t.Context(), "tcp", loopback.Addr())
			require.NoError(t, err)
			defer plain.Close()
			want := options(plain, func() {})
			require.Equal(t, name != "none", want[0] == 1)
			for _, draining := range []bool{false, true} {
				ln, err := listener.ListenWith(t.Context(), config, "tcp", loopback.Addr())
				require.NoError(t, err)
				defer ln.Close()
				drained := make(<-chan error)
				require.Equal(t, want, options(ln, func() {
					if draining { // then stop accepts the connection, and not package net
						drained = startDrain(t, ln)
					}
				}), "draining: %v", draining)
				if draining {
					require.NoError(t, <-drained)
				}
			}
		})
	}
}
