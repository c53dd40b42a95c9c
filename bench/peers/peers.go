package main

import (
	"context"
	"strings"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// A peer is a way to serve, in HTTP or in gRPC.
type peer struct {
	name   string                 // with the suffix overGRPC if it serves gRPC beside another one that serves HTTP
	module string                 // whose version is shown; "" is Go itself
	serve  func(*service.Service) // nil: it is a role of the program gozero
	grpc   bool
	http2  bool
	hooks  bool // it runs hooks; otherwise the program's own code cleans up
	errors bool // a hook can return an error
}

const (
	library  = "library"
	overGRPC = ", gRPC"
)

var peers = []peer{
	{name: library, serve: libraryHTTP, http2: true, hooks: true, errors: true},
	{name: library + overGRPC, serve: libraryGRPC, grpc: true, hooks: true, errors: true},
	{name: "net/http", serve: netHTTP, http2: true},
	{name: "grpc-go", module: "google.golang.org/grpc", serve: grpcGo, grpc: true},
	{name: "uber-go/fx", module: "go.uber.org/fx", serve: uberFx, http2: true, hooks: true, errors: true},
	{name: "go-kratos", module: "github.com/go-kratos/kratos/v2", serve: kratosHTTP, http2: true, hooks: true, errors: true},
	{name: "go-kratos" + overGRPC, module: "github.com/go-kratos/kratos/v2", serve: kratosGRPC, grpc: true, hooks: true, errors: true},
	{name: "go-zero", module: "github.com/zeromicro/go-zero", http2: true, hooks: true},
	{name: "go-zero" + overGRPC, module: "github.com/zeromicro/go-zero", grpc: true, hooks: true},
	{name: "hertz", module: "github.com/cloudwego/hertz", serve: hertz, hooks: true},
	{name: "echo", module: "github.com/labstack/echo/v5", serve: labstackEcho, http2: true},
	{name: "oklog/run", module: "github.com/oklog/run", serve: oklogRun, http2: true, hooks: true, errors: true},
	{name: "controller-runtime", module: "sigs.k8s.io/controller-runtime", serve: controllerRuntime, http2: true, hooks: true, errors: true},
}

// base is the name without the protocol.
func (p *peer) base() string { return strings.TrimSuffix(p.name, overGRPC) }

// compared is the name of the library's row for the peer's protocol.
func (p *peer) compared() string {
	if p.grpc {
		return library + overGRPC
	}
	return library
}

// stuckName is the name of the request that hangs.
func (p *peer) stuckName() string {
	if p.grpc {
		return "UnaryCall"
	}
	return service.StuckPath
}

// roles are the peers that run as child processes of this program.
func roles() map[string]func(context.Context, []string) {
	all := make(map[string]func(context.Context, []string))
	for _, p := range peers {
		if p.serve != nil {
			all[p.name] = service.Role(p.serve)
		}
	}
	return all
}
