package main

import (
	"net/http"
	"os"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/gateway/orders"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "AcceptContext": withAcceptContext})
}

// withAcceptContext differs from the recipe in the context.
func withAcceptContext() {
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, func(m *shutdown.Manager) error {
		service := grpcserver.NewServer(m)
		orders.RegisterOrdersServer(service, server{})
		if err := service.Start(grpcAddr); err != nil {
			return err
		}
		mux := runtime.NewServeMux(runtime.WithMetadata(name))
		if err := orders.RegisterOrdersHandlerFromEndpoint(m.AcceptContext(), mux, grpcAddr, dial); err != nil {
			return err
		}
		gateway, err := httpserver.Start(m, &http.Server{Addr: addr, Handler: mux})
		if err != nil {
			return err
		}
		service.DrainAfter(gateway.Drained())
		return nil
	})))
}

// request starts program, and sends it SIGTERM while it handles a request.
func request(t *testing.T, program string) (*recipetest.Process, <-chan recipetest.Answer) {
	t.Helper()
	p := recipetest.Start(t, program, "RECIPE_ADMIN_ADDR="+recipetest.FreeAddr(t))
	p.AwaitListen()
	answer := recipetest.Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: 17")
	p.Terminate()
	return p, answer
}

func TestARequestIsAnswered(t *testing.T) {
	p, answer := request(t, "recipe")
	p.Await(`waiting_for="GET /orders/{id} `)
	p.Release()
	got := <-answer
	require.NoError(t, got.Err)
	require.Equal(t, http.StatusOK, got.Status)
	require.JSONEq(t, `{"status": "done"}`, got.Body)
	p.ExitsWell()
}

func TestWithAcceptContextTheRequestFails(t *testing.T) {
	p, answer := request(t, "AcceptContext")
	got := <-answer // nothing releases it
	require.NoError(t, got.Err)
	require.Equal(t, 499, got.Status)
	require.Contains(t, got.Body, "the client connection is closing")
	require.Equal(t, "exit status 0", p.Exit(), "nothing tells")
}
