// Connect is a service with connect-go, for the protocols Connect, gRPC and gRPC-Web.
package main

import (
	"context"
	"net/http"
	"os"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr = demo.Addr

type (
	request  = connect.Request[wrapperspb.StringValue]
	response = connect.Response[wrapperspb.StringValue]
)

// get works, and answers "done".
func get(ctx context.Context, r *request) (*response, error) {
	if err := demo.Work(ctx, r.Msg.GetValue()); err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	return connect.NewResponse(wrapperspb.String("done")), nil
}

const procedure = "/orders.v1.Orders/Get"

// newOrdersHandler is what connect generates for a service.
func newOrdersHandler() (path string, h http.Handler) {
	return procedure, connect.NewUnaryHandler(procedure, get)
}

// recipe

func start(m *shutdown.Manager) error {
	mux := http.NewServeMux()
	mux.Handle(newOrdersHandler())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // for gRPC, instead of h2c.NewHandler
	_, err := httpserver.Start(m, &http.Server{Addr: addr, Handler: mux, Protocols: protocols})
	return err
}

// end
