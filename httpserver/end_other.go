//go:build !unix

package httpserver

import "net"

// writable would report whether a short write to c would not block.
func writable(net.Conn) bool { return true }

func endIfSilent(c net.Conn, _, _ bool, still func() bool) (unacked int) {
	if still() {
		_ = c.Close()
	}
	return 0
}
