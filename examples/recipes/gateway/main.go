// Gateway is a gRPC service with a grpc-gateway in the same process.
package main

import (
	"context"
	"net/http"
	"os"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/gateway/orders"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var (
	addr     = demo.Addr
	grpcAddr = demo.AdminAddr
	dial     = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
)

type server struct {
	orders.UnimplementedOrdersServer
}

// Get works, and answers "done".
func (server) Get(ctx context.Context, r *orders.GetRequest) (*orders.Order, error) {
	if err := demo.Work(ctx, r.GetId()); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &orders.Order{Status: "done"}, nil
}

// name names a request of the gateway by its pattern.
func name(ctx context.Context, r *http.Request) metadata.MD {
	pattern, _ := runtime.HTTPPathPattern(ctx)
	httpserver.SetName(r.Context(), r.Method+" "+pattern)
	return nil
}

// recipe

func start(m *shutdown.Manager) error {
	service := grpcserver.NewServer(m)
	orders.RegisterOrdersServer(service, server{})
	if err := service.Start(grpcAddr); err != nil {
		return err
	}
	mux := runtime.NewServeMux(runtime.WithMetadata(name))
	// The gateway closes its connection to the service when this context ends.
	err := orders.RegisterOrdersHandlerFromEndpoint(m.WorkContext(), mux, grpcAddr, dial)
	if err != nil {
		return err
	}
	gateway, err := httpserver.Start(m, &http.Server{Addr: addr, Handler: mux})
	if err != nil {
		return err
	}
	service.DrainAfter(gateway.Drained())
	return nil
}

// end
