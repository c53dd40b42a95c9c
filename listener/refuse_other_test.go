//go:build !linux

package listener_test

import (
	"context"
	"net"
	"testing"

	"github.com/gracefulgo/shutdown/listener"
)

var drains = map[string]func(context.Context, *listener.Listener) error{
	"": func(ctx context.Context, ln *listener.Listener) error { return ln.Drain(ctx) },
}

func requireUnchanged(*testing.T, net.Listener) {}

func requireArrived(*testing.T, net.Conn) {}
