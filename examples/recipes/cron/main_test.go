package main

import (
	"context"
	"os/signal"
	"syscall"
	"testing"

	"github.com/robfig/cron/v3"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without stops the scheduler, and does not wait.
func without() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := cron.New()
	if _, err := c.AddFunc("@every 1s", func() { report(context.Background()) }); err != nil {
		panic(err)
	}
	c.Start()
	<-ctx.Done()
	c.Stop()
}

func TestTheReportIsWritten(t *testing.T) {
	p := recipetest.Start(t, "recipe")
	p.Await("begun: report")
	p.Terminate()
	p.Await("shutdown: waiting")
	p.Release()
	p.ExitsWell()
	require.Contains(t, p.Output(), "report: written")
}

func TestWithoutItTheReportIsNotWritten(t *testing.T) {
	p := recipetest.Start(t, "without")
	p.Await("begun: report")
	p.Terminate()
	require.Equal(t, "exit status 0", p.Exit())
	require.NotContains(t, p.Output(), "report: ")
}
