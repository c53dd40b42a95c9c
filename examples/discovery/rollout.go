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

// rollout replaces one of two instances after the other, under load, and
// returns what became of the requests.
func rollout(ctx context.Context, endpoint, leaves string, restarts int) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(restarts)*10*time.Second)
	defer cancel() // kills what is left
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return result{}, err
	}
	defer func() { _ = client.Close() }() // after the last word
	g, err := startGateway(client)
	if err != nil {
		return result{}, err
	}
	defer g.end()

	var running []*child
	defer func() {
		for _, c := range running {
			_ = c.end() // there is an error already, or nothing to learn any more
		}
	}()
	add := func() error {
		c, err := startInstance(ctx, leaves, endpoint)
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
	if n := r.late[refused]; leaves == leavesLast && n > 0 { // the entry was there, however often one looks
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

func startInstance(ctx context.Context, leaves, endpoint string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{Cmd: exec.CommandContext(ctx, self)}
	c.Env = append(os.Environ(), leavesVariable+"="+leaves, etcdVariable+"="+endpoint)
	c.Stderr = &c.stderr
	c.WaitDelay = 10 * time.Second
	if _, err := c.StdinPipe(); err != nil { // open for as long as this process lives
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

// end tells the instance to go, and waits until it has. One that does not exit
// with status 0 is an error, with what it logged.
func (c *child) end() error {
	_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which Wait tells
	if err := c.Wait(); err != nil {
		return fmt.Errorf("instance %s: %w, and wrote:\n%s", c.addr, err, &c.stderr)
	}
	return nil
}
