package main

import (
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without is what the recipe replaces.
func without() {
	e := echo.New()
	e.GET("/orders/:id", order)
	_ = e.Start(addr)
}

func TestARequestIsAnsweredAndNamedByItsPattern(t *testing.T) {
	recipetest.DrainsOrder(t, "recipe", "GET /orders/:id")
}

func TestWithoutItARequestOfMoreThanTenSecondsIsLost(t *testing.T) {
	exit, lost := recipetest.LosesOrder(t, "without")
	require.ErrorContains(t, lost, "EOF")
	require.Equal(t, "exit status 0", exit)
}
