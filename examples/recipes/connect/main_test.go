package main

import (
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without is what the recipe replaces.
func without() {
	mux := http.NewServeMux()
	mux.Handle(newOrdersHandler())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Addr: addr, Handler: mux, Protocols: protocols}
	_ = srv.ListenAndServe()
}

// call starts program, and sends it SIGTERM while it handles a call.
func call(t *testing.T, program string, protocol ...connect.ClientOption) (p *recipetest.Process, ended <-chan error) {
	t.Helper()
	p = recipetest.Start(t, program)
	p.AwaitListen()
	protocols := new(http.Protocols)
	if len(protocol) == 0 {
		protocols.SetHTTP1(true)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	c := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](&http.Client{Transport: &http.Transport{Protocols: protocols}}, "http://"+p.Addr+procedure, protocol...)
	answers := make(chan error, 1)
	go func() {
		_, err := c.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("17")))
		answers <- err
	}()
	p.Await("begun: 17")
	p.Terminate()
	return p, answers
}

func TestACallIsAnswered(t *testing.T) {
	for name, protocol := range map[string][]connect.ClientOption{"Connect over HTTP/1.1": nil, "gRPC": {connect.WithGRPC()}} {
		t.Run(name, func(t *testing.T) {
			p, ended := call(t, "recipe", protocol...)
			p.Await(`shutdown: waiting phase=drain waiting_for="POST /orders.v1.Orders/Get `)
			p.Release()
			require.NoError(t, <-ended)
			p.ExitsWell()
		})
	}
}

func TestWithoutItTheCallIsLost(t *testing.T) {
	p, ended := call(t, "without", connect.WithGRPC())
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(<-ended))
	require.Equal(t, "signal: terminated", p.Exit())
}
