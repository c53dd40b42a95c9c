package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "before": before})
}

func TestARequestIsAnsweredBeforeTheHooksOfFxRun(t *testing.T) {
	recipetest.DrainsOrder(t, "recipe", "GET /orders/17")
}

func TestTheDatabaseIsClosedEvenIfARequestDoesNotEnd(t *testing.T) {
	p := recipetest.Start(t, "recipe", "SHUTDOWN_GRACE_PERIOD=4")
	p.AwaitListen()
	answer := recipetest.Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	require.Equal(t, http.StatusServiceUnavailable, (<-answer).Status)
	require.Equal(t, "exit status 1", p.Exit())
	require.Contains(t, p.Log(), "1 task cut off: GET /orders/17")
	require.Contains(t, p.Output(), "db: closed")
}

func TestBeforeARequestThatDoesNotEndKeepsTheDatabaseOpen(t *testing.T) {
	p := recipetest.Start(t, "before")
	p.AwaitListen()
	answer := recipetest.Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	require.ErrorContains(t, (<-answer).Err, "EOF")
	require.Equal(t, "exit status 1", p.Exit())
	require.NotContains(t, p.Output(), "db: closed")
}
