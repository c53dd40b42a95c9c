//go:build !unix

package httpserver

import "net"

// readable would report whether bytes have arrived, which cannot be known here without
// reading them.
func readable(net.Conn) bool { return false }
