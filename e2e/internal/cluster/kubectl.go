//go:build linux

package cluster

import (
	"context"
	"os/exec"
	"path/filepath"

	"github.com/gracefulgo/shutdown/e2e/internal/debian"
)

// Kubectl runs kubectl as the cluster's administrator and returns what it writes to stdout. It
// blocks until kubectl ends; if ctx ends before, or a daemon of the cluster, kubectl is killed.
// The error has what kubectl writes to stderr, and the reason if it was killed.
func (c *Cluster) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := c.whileAlive(ctx)
	defer cancel()
	return c.run(ctx, stdin, filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.path("kubeconfig")}, args...)...)
}

// run runs a program as the daemons run.
func (c *Cluster) run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	program, err := debian.Find(program)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = c.environment()
	return run(ctx, cmd, stdin)
}
