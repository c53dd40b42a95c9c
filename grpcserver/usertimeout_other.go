//go:build !linux

package grpcserver

import "net"

// setUserTimeout is for Linux, as in gRPC.
func setUserTimeout(net.Conn) {}
