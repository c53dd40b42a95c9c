//go:build linux

package docker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gracefulgo/shutdown/e2e/internal/daemon"
	"github.com/gracefulgo/shutdown/e2e/internal/machine"
)

// A dockerd is one of its own, with all of its state in a directory.
type dockerd struct {
	*daemon.Daemon
	logs string // directory
}

const socket = "unix:///run/docker.sock"

func startDockerd(ctx context.Context, dir string) (*dockerd, error) {
	d := &dockerd{logs: dir}
	var err error
	d.Daemon, err = daemon.Start(ctx, exec.Command("dockerd",
		"--data-root", filepath.Join(dir, "docker"), "--exec-root", "/run/docker", "--pidfile", "/run/dockerd.pid",
		"--host", socket, "--cgroup-parent", "/"+machine.CgroupPrefix+"-docker"),
		filepath.Join(dir, "dockerd.log"), func(ctx context.Context) error {
			_, err := d.docker(ctx, "version")
			return err
		})
	return d, err
}

// docker runs the command line client and returns what it prints.
func (d *dockerd) docker(ctx context.Context, args ...string) (string, error) {
	cmd := d.command(ctx, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func (d *dockerd) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", slices.Concat([]string{"--host", socket}, args)...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // BuildKit is a plugin
	return cmd
}
