//go:build !linux

package listener

import (
	"net"
	"time"
)

type handshake struct{}

// handshakes would return the handshakes in progress; only Linux lists them.
func handshakes(net.Addr) map[handshake]bool { return nil }

// handshakeRTT would return the round-trip time of the handshake; 0 means unknown.
func handshakeRTT(net.Conn) time.Duration { return 0 }
