package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"

	"go.uber.org/fx"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// uberFx serves HTTP as fx's documentation does, in hooks of the lifecycle.
//
// https://uber-go.github.io/fx/get-started/http-server.html
func uberFx(s *service.Service) {
	//lines:begin uber-go/fx
	fx.New(
		fx.StopTimeout(service.Grace),
		fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.StopHook(s.CloseCache))
			lc.Append(fx.StopHook(s.FlushQueue))
			lc.Append(fx.StopHook(s.CloseDatabase))
			lc.Append(fx.StartHook(s.Connect))
			srv := &http.Server{Addr: s.HTTP, Handler: s, Protocols: service.Protocols()}
			lc.Append(fx.Hook{
				OnStart: func(context.Context) error {
					ln, err := net.Listen("tcp", srv.Addr)
					if err != nil {
						return err
					}
					go func() {
						if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
							log.Print(err)
						}
					}()
					return nil
				},
				OnStop: srv.Shutdown,
			})
		}),
	).Run()
	//lines:end
}
