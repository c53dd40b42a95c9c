//go:build !unix

package httpserver

import "net"

// readable cannot look without reading here.
func readable(net.Conn) bool { return false }

func writable(net.Conn) bool { return true }

func endIfSilent(c net.Conn, still func() bool) {
	if still() {
		_ = c.Close()
	}
}
