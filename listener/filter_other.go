//go:build !linux

package listener

import "syscall"

// dropSYN would stop new handshakes; only Linux can.
func dropSYN(syscall.RawConn) bool { return false }
