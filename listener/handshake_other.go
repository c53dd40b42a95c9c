//go:build !linux

package listener

import "net"

// halfDone would report whether a handshake is under way; only Linux says.
func halfDone(net.Addr) bool { return false }
