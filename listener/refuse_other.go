//go:build !linux

package listener

import "net"

// stopNew would keep new handshakes from starting; only Linux can.
func (l *Listener) stopNew() bool { return false }

func undoDropSYN(net.Conn) {}
