//go:build !unix

package grpcserver

import "net"

// readable cannot look without reading here.
func readable(net.Conn) bool { return false }

func endIfSilent(c net.Conn) { _ = c.Close() }

func writable(net.Conn) bool { return true }

func (c *raw) await() error { return nil }
