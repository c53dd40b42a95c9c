//go:build linux

// Package proxies restarts two instances of a service in turn behind HAProxy and nginx. What
// it runs is bench/proxies, whose services have the lame duck and the readiness of the table
// in docs/load-balancers.md.
package proxies

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/debian"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/internal/load"
)

// Part is the part of the end-to-end test.
var Part = parts.Part{
	Name: "proxies", Title: "HAProxy and nginx",
	Programs: []string{parts.Proxies},
	Prepare:  prepare, Measure: measure,
}

func prepare(ctx context.Context) error {
	return debian.Install(ctx, os.Stderr,
		debian.Package{Name: "haproxy", Program: "haproxy", Service: "haproxy"},
		debian.Package{Name: "nginx-light", Program: "nginx", Service: "nginx"},
	)
}

func measure(ctx context.Context, env *parts.Env) (table report.Table, err error) {
	table.Versions, err = versions(ctx)
	if err != nil {
		return table, err
	}
	restarts, only := 6, "." // of both instances together
	if env.Short {
		restarts, only = 2, "library, lame duck 1.5s"
	}
	args := []string{"-json", "-restarts", fmt.Sprint(restarts), "-only", only}
	cmd := exec.CommandContext(ctx, env.Program(parts.Proxies), args...)
	cmd.Env = append(os.Environ(), "PATH="+debian.Path)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	env.Progress.Show("proxies: " + strings.Join(cmd.Args, " "))
	failed := cmd.Run() // also if a recommended row is not as it must be
	var records []struct {
		Proxy, Setting, Service string
		LameDuck                time.Duration
		Recommended             bool
		Result                  load.Result
	}
	if err := json.Unmarshal(out.Bytes(), &records); err != nil {
		return table, fmt.Errorf("bench/proxies: %w: %s", failed, log.Bytes())
	}
	for _, r := range records {
		row := report.Row{
			Scenario:     fmt.Sprintf("%s, %s, lame duck %v", r.Proxy, r.Setting, r.LameDuck),
			Service:      r.Service,
			Requirements: []string{"R23"},
			Rounds:       restarts,
			Load:         r.Result,
		}
		if r.Recommended {
			row.Says = "recommended"
			row.NothingLost()
			if r.Result.Delayed > 0 {
				row.Problem("%d requests took over half a second", r.Result.Delayed)
			}
		}
		table.Rows = append(table.Rows, row)
	}
	return table, nil
}

func versions(ctx context.Context) (string, error) {
	var lines []string
	for _, name := range []string{"haproxy", "nginx"} {
		path, err := debian.Find(name)
		if err != nil {
			return "", err
		}
		out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s -v: %w", name, err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		line, _, _ = strings.Cut(strings.TrimPrefix(line, "nginx version: "), " 20") // without the date
		lines = append(lines, line)
	}
	return strings.Join(lines, ", "), nil
}
