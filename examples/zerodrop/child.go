package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// roleVariable names the environment variable that makes this program a child.
const roleVariable = "ZERODROP_ROLE"

// play is what a child process does.
func play(role string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the parent has died
	}()
	switch role {
	case "plain":
		plain()
	case "shutdown":
		graceful()
	case "busy":
		for { //nolint:staticcheck // it is meant to spin
		}
	}
}

// A child is a process that runs this program in a role.
type child struct {
	*exec.Cmd
	ctx    context.Context // its end kills the process
	stderr bytes.Buffer
}

func newChild(ctx context.Context, role string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{Cmd: exec.CommandContext(ctx, self), ctx: ctx}
	c.Env = append(os.Environ(), roleVariable+"="+role)
	c.Stderr = &c.stderr
	c.WaitDelay = 20 * time.Second           // to read its output
	if _, err := c.StdinPipe(); err != nil { // stays open until this process ends
		return nil, err
	}
	return c, nil
}

// Wait waits for the child to exit. If its status is not 0, the error has what it wrote
// on stderr.
func (c *child) Wait() error {
	err := c.Cmd.Wait()
	if err == nil {
		return nil
	}
	if cause := context.Cause(c.ctx); cause != nil {
		err = errors.Join(err, cause)
	}
	if text := strings.TrimSpace(c.stderr.String()); text != "" {
		err = fmt.Errorf("%w, and wrote:\n%s", err, text)
	}
	return err
}

// startService starts a service and waits until it listens.
func startService(ctx context.Context, name string) (c *child, addr string, err error) {
	c, err = newChild(ctx, name)
	if err != nil {
		return nil, "", err
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := c.Start(); err != nil {
		return nil, "", err
	}
	addr, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("reading the service's address: %w", errors.Join(err, c.Wait()))
	}
	return c, strings.TrimSpace(addr), nil
}

// startBusy starts n processes that burn CPU, and returns a function that kills them.
func startBusy(ctx context.Context, n int) (stop func(), err error) {
	ctx, kill := context.WithCancel(ctx)
	var children []*child
	stop = func() {
		kill()
		for _, c := range children {
			_ = c.Wait() // it says that the process was killed
		}
	}
	for range n {
		c, err := newChild(ctx, "busy")
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			stop()
			return nil, fmt.Errorf("starting a busy loop: %w", err)
		}
		children = append(children, c)
	}
	return stop, nil
}
