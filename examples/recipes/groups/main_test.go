package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	run := func(before func() error) func() {
		return func() {
			if err := before(); err != nil {
				fmt.Println("error:", err)
				os.Exit(1)
			}
		}
	}
	recipetest.Main(m, map[string]func(){"recipe": main, "errgroup": run(withErrgroup), "run": run(withRun)})
}

// stop starts program, and sends it SIGTERM while it handles a request and a message.
func stop(t *testing.T, program string) (*recipetest.Process, <-chan recipetest.Answer) {
	t.Helper()
	p := recipetest.Start(t, program)
	p.AwaitListen()
	answer := recipetest.Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Await("begun: message")
	p.Terminate()
	return p, answer
}

func TestTheRequestIsAnsweredAndTheMessageHandled(t *testing.T) {
	p, answer := stop(t, "recipe")
	p.Await("shutdown: waiting")
	p.Release()
	require.Equal(t, "done\n", (<-answer).Body)
	p.ExitsWell()
	require.Contains(t, p.Output(), "message: handled")
}

func TestBeforeTheMessageWasGivenUp(t *testing.T) {
	for _, program := range []string{"errgroup", "run"} {
		t.Run(program, func(t *testing.T) {
			p, answer := stop(t, program)
			p.Await("message: ")
			p.Release()
			require.Equal(t, "done\n", (<-answer).Body)
			require.Equal(t, "exit status 1", p.Exit())
			require.Contains(t, p.Output(), "error: ")
			require.NotContains(t, p.Output(), "message: handled")
		})
	}
}
