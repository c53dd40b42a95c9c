package grpcserver

import (
	"context"

	"google.golang.org/grpc/health"

	"github.com/gracefulgo/shutdown"
)

// Health makes h, the health service of a server, report NOT_SERVING for every service
// from the start of the shutdown, to Check and to Watch. The server goes on serving. If
// the shutdown has started, this happens at once. Health does not block. It panics if h is
// nil.
func Health(m *shutdown.Manager, h *health.Server) {
	if h == nil {
		panic("grpcserver: Health: h is nil")
	}
	m.On(shutdown.Leave, "grpc health", func(context.Context) error {
		h.Shutdown()
		return nil
	})
}
