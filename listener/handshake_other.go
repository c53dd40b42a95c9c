//go:build !linux

package listener

import (
	"net"
	"time"
)

type handshake struct{}

// handshakes would return those that are under way; only Linux says.
func handshakes(net.Addr) map[handshake]bool { return nil }

// handshakeRTT would say how long the client's last packet took; 0 is unknown.
func handshakeRTT(net.Conn) time.Duration { return 0 }
