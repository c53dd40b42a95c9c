package main

import (
	"fmt"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without is what the recipe replaces.
func without() {
	app := fiber.New()
	app.Get("/orders/:id", order)
	fmt.Println(app.Listen(addr))
}

func TestARequestIsAnsweredAndNamedByItsPattern(t *testing.T) {
	recipetest.DrainsOrder(t, "recipe", "GET /orders/:id")
}

func TestWithoutItTheRequestIsLost(t *testing.T) {
	exit, lost := recipetest.LosesOrder(t, "without")
	require.ErrorContains(t, lost, "EOF")
	require.Equal(t, "signal: terminated", exit)
}
