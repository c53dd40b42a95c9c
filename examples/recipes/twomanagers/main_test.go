package main

import (
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "two": two})
}

// two has a Manager in the library as well.
func two() {
	library, err := shutdown.New(shutdown.Config{})
	if err != nil {
		panic(err)
	}
	db := openDB(library)
	go library.Wait()
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, func(m *shutdown.Manager) error { return serve(m, db) })))
}

func TestTheDatabaseIsClosedWhenTheRequestIsAnswered(t *testing.T) {
	recipetest.DrainsOrder(t, "recipe", "GET /orders/{id}")
}

func TestWithTwoManagersTheDatabaseIsClosedWhileARequestUsesIt(t *testing.T) {
	p := recipetest.Start(t, "two")
	p.AwaitListen()
	answer := recipetest.Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	p.Await("db: closed")
	p.Release()
	require.Equal(t, recipetest.Answer{Status: http.StatusInternalServerError, Body: "db: closed\n"}, <-answer)
	require.Equal(t, "exit status 0", p.Exit(), "nothing tells")
}
