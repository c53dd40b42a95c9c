//go:build !linux

package listener

import "net"

// refuseNew would keep new clients from connecting; only Linux can.
func (l *Listener) refuseNew() bool { return false }

func undoDropSYN(net.Conn) {}
