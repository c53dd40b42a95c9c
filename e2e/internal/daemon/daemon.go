//go:build linux

// Package daemon starts programs that run as long as a part of the end-to-end test.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Both bound what takes about a second.
const (
	startLimit = time.Minute
	stopLimit  = 30 * time.Second
)

// A Daemon is a program that has been ready.
type Daemon struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// Start starts the program, with its output in the file log, and waits until ready returns
// nil. Without that it stops the program.
func Start(ctx context.Context, cmd *exec.Cmd, log string, ready func(context.Context) error) (*Daemon, error) {
	name := filepath.Base(cmd.Path)
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not stop it before its clients
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &Daemon{cmd: cmd, ended: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(d.ended) }()
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("%s was not ready after %v", name, startLimit))
	defer cancel()
	for {
		if err = ready(ctx); err == nil {
			return d, nil
		}
		select {
		case <-d.ended:
			return nil, fmt.Errorf("%s has ended: %v; see %s", name, cmd.ProcessState, log)
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err, d.Stop(syscall.SIGKILL))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop sends the signal and waits for the end. It kills a program that does not end within
// 30 s.
func (d *Daemon) Stop(sig os.Signal) error {
	err := d.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-d.ended:
		return err
	case <-time.After(stopLimit):
		err = errors.Join(err, fmt.Errorf("%s had not ended after %v", d.cmd.Path, stopLimit), d.cmd.Process.Kill())
		<-d.ended
		return err
	}
}
