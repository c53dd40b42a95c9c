//go:build !linux

package listener_test

import (
	"context"
	"net"
	"testing"

	"github.com/gracefulgo/shutdown/listener"
)

func drainWithoutPrivilege(ctx context.Context, ln *listener.Listener) error { return ln.Drain(ctx) }

func requireUnfiltered(*testing.T, net.Listener) {}

func requireArrived(*testing.T, net.Conn) {}
