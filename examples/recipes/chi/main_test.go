package main

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without is what the recipe replaces.
func without() {
	r := chi.NewRouter()
	r.Get("/orders/{id}", order)
	_ = http.ListenAndServe(addr, r)
}

func TestARequestIsAnsweredAndNamedByItsPattern(t *testing.T) {
	recipetest.DrainsOrder(t, "recipe", "GET /orders/{id}")
}

func TestWithoutItTheRequestIsLost(t *testing.T) {
	exit, lost := recipetest.LosesOrder(t, "without")
	require.ErrorContains(t, lost, "EOF")
	require.Equal(t, "signal: terminated", exit)
}
