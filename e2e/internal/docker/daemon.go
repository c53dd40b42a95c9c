//go:build linux

package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/machine"
)

// A daemon is a dockerd of its own, with all of its state in a directory.
type daemon struct {
	socket string
	logs   string // directory
	cmd    *exec.Cmd
	ended  chan struct{}
}

// startLimit and stopLimit bound what takes about a second.
const (
	startLimit = time.Minute
	stopLimit  = 30 * time.Second
)

func startDaemon(ctx context.Context, dir string) (*daemon, error) {
	d := &daemon{socket: "unix:///run/docker.sock", logs: dir, ended: make(chan struct{})}
	log, err := os.Create(filepath.Join(dir, "dockerd.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	d.cmd = exec.Command("dockerd",
		"--data-root", filepath.Join(dir, "docker"), "--exec-root", "/run/docker", "--pidfile", "/run/dockerd.pid",
		"--host", d.socket, "--cgroup-parent", "/"+machine.CgroupPrefix+"-docker")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not stop it first
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = d.cmd.Wait(); close(d.ended) }()
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("dockerd was not ready after %v", startLimit))
	defer cancel()
	for {
		if _, err = d.docker(ctx, "version"); err == nil {
			return d, nil
		}
		select {
		case <-d.ended:
			return nil, fmt.Errorf("dockerd has ended: %v; see %s", d.cmd.ProcessState, log.Name())
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err, d.stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// docker runs the command line client and returns what it prints.
func (d *daemon) docker(ctx context.Context, args ...string) (string, error) {
	cmd := d.command(ctx, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func (d *daemon) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", slices.Concat([]string{"--host", d.socket}, args)...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // BuildKit is a plugin
	return cmd
}

// stop stops the daemon and its containers.
func (d *daemon) stop() error {
	err := d.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-d.ended:
	case <-time.After(stopLimit):
		err = errors.Join(err, fmt.Errorf("dockerd had not ended after %v", stopLimit), d.cmd.Process.Kill())
		<-d.ended
	}
	return err
}
