//go:build !linux

package grpcserver

import "net"

// setUserTimeout needs Linux, as in gRPC.
func setUserTimeout(net.Conn) {}
