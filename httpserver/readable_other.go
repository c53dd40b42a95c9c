//go:build !unix

package httpserver

import "net"

// readable cannot look without reading here.
func readable(net.Conn) bool { return false }

func writable(net.Conn) bool { return true }

func endIfSilent(c net.Conn, _, _ bool, still func() bool) (underWay int) {
	if still() {
		_ = c.Close()
	}
	return 0
}
