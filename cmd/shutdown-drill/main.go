package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gracefulgo/shutdown/internal/clip"
)

const (
	exitFail     = 1
	exitNoResult = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout io.Writer, stderr *os.File) (status int) {
	complain := func(err error) int {
		fmt.Fprintf(stderr, "shutdown-drill: %s\n", clip.To(err.Error(), 8<<10))
		return exitNoResult
	}
	c, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return complain(err)
	}
	c.plan.Progress = stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends this program at once
	result, err := c.plan.Run(ctx)
	if err != nil {
		return complain(err)
	}
	ok := false
	if c.json {
		ok, err = result.JSON(stdout)
	} else {
		ok = result.Text(stdout)
	}
	if err != nil {
		return complain(err)
	}
	if !ok {
		return exitFail
	}
	return 0
}
