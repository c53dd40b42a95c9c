package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// These environment variables make this program a child, and tell it where to listen.
const (
	roleVariable = "ZERODROP_ROLE"
	addrVariable = "ZERODROP_ADDR"
)

// play is what a child process does.
func play(role string) {
	go endWithParent(os.Getppid())
	switch addr := os.Getenv(addrVariable); role {
	case plain:
		servePlain(addr)
	case library:
		serveGracefully(addr)
	case "busy":
		for { //nolint:staticcheck // it is meant to spin
		}
	}
}

// endWithParent ends this process when its parent has died.
func endWithParent(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}

// startBusy starts n processes that burn CPU, and returns a function that kills them.
func startBusy(ctx context.Context, n int) (stop func(), err error) {
	ctx, kill := context.WithCancel(ctx)
	var children []*exec.Cmd
	stop = func() {
		kill()
		for _, c := range children {
			_ = c.Wait() // it says that the process was killed
		}
	}
	self, err := os.Executable()
	for i := 0; i < n && err == nil; i++ {
		c := exec.CommandContext(ctx, self)
		c.Env = append(os.Environ(), roleVariable+"=busy")
		if err = c.Start(); err == nil {
			children = append(children, c)
		}
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("starting a busy loop: %w", err)
	}
	return stop, nil
}
