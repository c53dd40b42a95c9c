package main

import (
	"context"

	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/protocol/consts"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// hertz serves with Spin. Its OnShutdown hooks run beside the server's own shutdown.
// HTTP/2 is a module of its own, and not measured.
//
// https://www.cloudwego.io/docs/hertz/tutorials/basic-feature/graceful-shutdown
func hertz(s *service.Service) {
	//lines:begin hertz
	h := server.Default(server.WithHostPorts(s.HTTP), server.WithExitWaitTime(service.Grace))
	//lines:end
	h.POST("/*path", func(_ context.Context, c *app.RequestContext) {
		c.Data(consts.StatusOK, "text/plain", s.Answer(string(c.Path()), c.Request.Body()))
	})
	//lines:begin hertz
	h.OnRun = append(h.OnRun, s.Connect)
	h.OnShutdown = append(h.OnShutdown,
		func(ctx context.Context) { _ = s.CloseCache(ctx) },
		func(ctx context.Context) { _ = s.FlushQueue(ctx) },
		func(ctx context.Context) { _ = s.CloseDatabase(ctx) },
	)
	h.Spin()
	//lines:end
}
