//go:build linux

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// run runs cmd, which is of ctx, and returns what it writes to stdout. The error has what it
// writes to stderr.
func run(ctx context.Context, cmd *exec.Cmd, stdin string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.WaitDelay = 10 * time.Second // the program's children, which have the same stdout, may live longer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // "signal: killed" says nothing
	}
	if text := bytes.TrimSpace(stderr.Bytes()); len(text) > 0 {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return stdout.String(), fmt.Errorf("%s %s: %w", filepath.Base(cmd.Path), strings.Join(cmd.Args[1:], " "), err)
}
