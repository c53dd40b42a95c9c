package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// rollout replaces the older of two instances, restarts times, under load.
func rollout(ctx context.Context, endpoint, when string, restarts int) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(restarts)*10*time.Second)
	defer cancel() // kills instances that still run
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return result{}, err
	}
	defer func() { _ = client.Close() }() // after the gateway has stopped
	g, err := startGateway(client)
	if err != nil {
		return result{}, err
	}
	defer g.end()

	var running []*child
	defer func() {
		for _, c := range running {
			_ = c.end() // an error was returned before
		}
	}()
	add := func() error {
		c, err := startInstance(ctx, when, endpoint)
		if err != nil {
			return err
		}
		running = append(running, c)
		return g.waitFor(ctx, c.addr)
	}
	for range 2 {
		if err := add(); err != nil {
			return result{}, err
		}
	}
	l := startLoad(g.addr)
	defer l.end()
	for range restarts {
		if err := add(); err != nil {
			return result{}, err
		}
		if err := l.waitFor(ctx, 25); err != nil {
			return result{}, err
		}
		old := running[0]
		running = running[1:]
		if err := old.end(); err != nil {
			return result{}, err
		}
	}
	r := l.end()
	if n := r.late[refused]; when == deregistersLast && n > 0 { // the port was closed before the entry was removed, so the age of the poll did not matter
		r.lost[refused] += n
		delete(r.late, refused)
	}
	return r, nil
}

// A child is an instance in a process of its own.
type child struct {
	*exec.Cmd
	addr   string
	stderr bytes.Buffer
}

func startInstance(ctx context.Context, when, endpoint string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{Cmd: exec.CommandContext(ctx, self)}
	c.Env = append(os.Environ(), whenVariable+"="+when, etcdVariable+"="+endpoint)
	c.Stderr = &c.stderr
	c.WaitDelay = 10 * time.Second
	if _, err := c.StdinPipe(); err != nil { // the instance exits when this process does
		return nil, err
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("reading an instance's address: %w", errors.Join(err, c.end()))
	}
	c.addr = strings.TrimSpace(addr)
	return c, nil
}

// end sends SIGTERM to the instance and waits. If the exit status is not 0 the error
// has what the instance wrote to stderr.
func (c *child) end() error {
	_ = c.Process.Signal(syscall.SIGTERM) // it may have exited before; Wait returns the error
	if err := c.Wait(); err != nil {
		return fmt.Errorf("instance %s: %w, and wrote:\n%s", c.addr, err, &c.stderr)
	}
	return nil
}
