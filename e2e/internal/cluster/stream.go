//go:build linux

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Stream runs kubectl as Kubectl does, for a command that goes on, such as get --watch: what it
// writes to stdout goes to w at once. It blocks until kubectl ends. If ctx ends before, that is
// no error.
func (c *Cluster) Stream(ctx context.Context, w io.Writer, args ...string) error {
	alive, cancel := c.whileAlive(ctx)
	defer cancel()
	cmd := exec.CommandContext(alive, filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.path("kubeconfig")}, args...)...)
	var stderr bytes.Buffer
	cmd.Env = c.environment()
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = w, &stderr
	err := cmd.Run()
	if err == nil || ctx.Err() != nil {
		return nil
	}
	if alive.Err() != nil {
		err = context.Cause(alive) // "signal: killed" says nothing
	}
	return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
}
