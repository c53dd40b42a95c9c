package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
	"github.com/gracefulgo/shutdown/internal/testcert"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without is what the recipe replaces.
func without() {
	srv, err := newServer()
	if err != nil {
		panic(err)
	}
	fmt.Println(srv.ListenAndServe())
}

// request starts program, and sends it SIGTERM while it handles a request.
func request(t *testing.T, program string) (*recipetest.Process, *http3.Transport, <-chan recipetest.Answer) {
	t.Helper()
	c, err := testcert.New()
	require.NoError(t, err)
	env, err := json.Marshal(c)
	require.NoError(t, err)
	config, err := c.Client()
	require.NoError(t, err)
	transport := &http3.Transport{TLSClientConfig: config}
	t.Cleanup(func() { transport.Close() })
	p := recipetest.Start(t, program, "RECIPE_CERTIFICATE="+string(env))
	// QUIC repeats the first packet until the server listens.
	answer := recipetest.Get(t, &http.Client{Transport: transport}, "https://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	return p, transport, answer
}

func TestARequestIsAnswered(t *testing.T) {
	p, _, answer := request(t, "recipe")
	p.Await(`shutdown: waiting phase=drain waiting_for="GET /orders/{id} `)
	p.Release()
	got := <-answer
	require.NoError(t, got.Err)
	require.Equal(t, "done\n", got.Body)
	p.ExitsWell()
}

func TestWithoutItTheRequestIsLost(t *testing.T) {
	p, transport, answer := request(t, "without")
	require.Equal(t, "signal: terminated", p.Exit())
	transport.Close() // the client would notice only when its idle timeout is over
	require.Error(t, (<-answer).Err)
}
