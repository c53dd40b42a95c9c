//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/debian"
)

// A daemon is a program that runs as long as the cluster.
type daemon struct {
	name    string
	process *os.Process
	log     string
	ended   chan struct{} // closed when it has ended
}

// startDaemon starts a program and waits until ready returns nil.
func (c *Cluster) startDaemon(ctx context.Context, ready func(context.Context) error, program string, args ...string) error {
	program, err := debian.Find(program)
	if err != nil {
		return err
	}
	d := &daemon{name: filepath.Base(program), ended: make(chan struct{})}
	d.log = filepath.Join(c.dir, "log", d.name+".log")
	log, err := os.Create(d.log)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Env = c.environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C is for the caller, who calls Stop
	if err := cmd.Start(); err != nil {
		return err
	}
	d.process = cmd.Process
	c.daemons = append(c.daemons, d)
	go func() {
		defer close(d.ended)
		how := cmd.Wait()
		if how == nil {
			how = errors.New("exit status 0")
		}
		if c.life.Err() == nil { // the log is read only for the first daemon that ends
			c.end(fmt.Errorf("%s has ended: %w%s", d.name, how, d.lastLines()))
		}
	}()
	err = wait(ctx, d.name+" to be ready", ready)
	if err != nil && c.life.Err() == nil {
		err = fmt.Errorf("%w%s", err, d.lastLines())
	}
	return err
}

// environment is the same for all programs, and has none of the caller's variables, of which
// those for proxies, etcd and kubectl would matter.
func (c *Cluster) environment() []string {
	return []string{"PATH=" + debian.Path, "HOME=" + c.path("home"), "TMPDIR=" + c.path("tmp")}
}

// kill kills the daemon and waits for its end. None of them has a state that is worth a
// graceful end.
func (d *daemon) kill() error {
	_ = d.process.Kill() // it may have ended
	select {
	case <-d.ended:
		return nil
	case <-time.After(killPatience):
		return fmt.Errorf("%s, process %d, does not end after SIGKILL within %v", d.name, d.process.Pid, killPatience)
	}
}

// killPatience is how long a process may take to end after SIGKILL.
const killPatience = 30 * time.Second

// lastLines returns the end of the log, to be appended to an error.
func (d *daemon) lastLines() string {
	const lines, limit = 15, 4096
	text, err := os.ReadFile(d.log)
	if err != nil {
		return fmt.Sprintf(" (its log: %v)", err)
	}
	text = bytes.TrimSpace(text)
	text = text[max(0, len(text)-limit):]
	for start, n := len(text), 0; n < lines; n++ {
		if start = bytes.LastIndexByte(text[:start], '\n'); start < 0 {
			break
		} else if n == lines-1 {
			text = text[start+1:]
		}
	}
	return fmt.Sprintf("; the last lines of %s:\n%s", d.log, text)
}

// wait calls ready until it returns nil. What is waited for is part of the error.
func wait(ctx context.Context, what string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v", patience))
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(err, cause) { // ready has been cut off
				return fmt.Errorf("waiting for %s: %w", what, cause)
			}
			return fmt.Errorf("waiting for %s: %w: %w", what, cause, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
