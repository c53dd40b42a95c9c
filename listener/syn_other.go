//go:build !linux

package listener

import (
	"net"
	"syscall"
)

// stopSYN would prevent new handshakes; only Linux can.
func stopSYN(syscall.RawConn) bool { return false }

func undoDropSYN(net.Conn) {}
