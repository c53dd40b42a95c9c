// Cron runs a task every second.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/robfig/cron/v3"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

func report(ctx context.Context) {
	if err := demo.Work(ctx, "report"); err != nil {
		fmt.Println("report:", err)
		return
	}
	fmt.Println("report: written")
}

// recipe

func start(m *shutdown.Manager) error {
	c := cron.New()
	_, err := c.AddFunc("@every 1s", func() {
		done, _ := m.Track("report") // names it in the log
		defer done()
		report(m.WorkContext())
	})
	if err != nil {
		return err
	}
	m.Go("cron", func(ctx context.Context) error {
		c.Start()
		<-ctx.Done()
		<-c.Stop().Done() // starts nothing new, and waits for what runs
		return nil
	})
	return nil
}

// end
