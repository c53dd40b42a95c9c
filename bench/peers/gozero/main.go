// Gozero is the peer go-zero. It is a program of its own because go-zero catches SIGTERM
// and SIGINT as soon as it is imported.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown/bench/internal/child"
	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

func main() {
	if !child.RunRole(map[string]func(context.Context, []string){
		"go-zero":       service.Role(goZeroHTTP),
		"go-zero, gRPC": service.Role(goZeroGRPC),
	}) {
		fmt.Fprintln(os.Stderr, "gozero: is started by the program that measures the peers")
		os.Exit(2)
	}
}

// goZeroHTTP has a rest server, and shutdown listeners that clean up. They run beside the
// server's own. WaitTime is after how long go-zero ends the process with the signal.
//
// https://go-zero.dev/docs/tutorials and
// https://pkg.go.dev/github.com/zeromicro/go-zero/core/proc#AddShutdownListener
func goZeroHTTP(s *service.Service) {
	ctx := context.Background()
	host, port, err := net.SplitHostPort(s.HTTP)
	if err != nil {
		log.Fatal(err)
	}
	//lines:begin go-zero
	var c rest.RestConf
	if err := conf.LoadFromYamlBytes([]byte(`
Name: service
Host: `+host+`
Port: `+port+`
Shutdown: {WaitTime: 10s}
DevServer: {Enabled: false}
`), &c); err != nil {
		log.Fatal(err)
	}
	srv := rest.MustNewServer(c)
	defer srv.Stop()
	//lines:end
	srv.AddRoutes([]rest.Route{
		{Method: http.MethodPost, Path: "/", Handler: s.ServeHTTP},
		{Method: http.MethodPost, Path: "/report/:id", Handler: s.ServeHTTP},
	})
	//lines:begin go-zero
	proc.AddShutdownListener(func() { _ = s.CloseCache(ctx) })
	proc.AddShutdownListener(func() { _ = s.FlushQueue(ctx) })
	proc.AddShutdownListener(func() { _ = s.CloseDatabase(ctx) })
	if err := s.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	srv.StartWithOpts(func(srv *http.Server) { srv.Protocols = service.Protocols() })
	//lines:end
}

func goZeroGRPC(s *service.Service) {
	ctx := context.Background()
	//lines:begin go-zero, gRPC
	var c zrpc.RpcServerConf
	if err := conf.LoadFromYamlBytes([]byte(`
Name: service
ListenOn: `+s.GRPC+`
Shutdown: {WaitTime: 10s}
DevServer: {Enabled: false}
`), &c); err != nil {
		log.Fatal(err)
	}
	srv := zrpc.MustNewServer(c, func(srv *grpc.Server) { s.Register(srv) })
	defer srv.Stop()
	proc.AddShutdownListener(func() { _ = s.CloseCache(ctx) })
	proc.AddShutdownListener(func() { _ = s.FlushQueue(ctx) })
	proc.AddShutdownListener(func() { _ = s.CloseDatabase(ctx) })
	if err := s.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	srv.Start()
	//lines:end
}
