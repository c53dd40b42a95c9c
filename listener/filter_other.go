//go:build !linux

package listener

import (
	"net"
	"syscall"
)

// dropSYN would stop new handshakes; only Linux can.
func dropSYN(syscall.RawConn) bool { return false }

func undoDropSYN(net.Conn) {}
