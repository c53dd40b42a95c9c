//go:build linux

// Package systemd stops services of a systemd of its own, as systemctl stop does.
package systemd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/debian"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

// Part is the part of the end-to-end test.
var Part = parts.Part{
	Name: "systemd", Title: "systemd",
	Programs: []string{parts.Library, parts.Naive},
	Prepare:  prepare, Measure: measure,
}

func prepare(ctx context.Context) error {
	return debian.Install(ctx, os.Stderr, debian.Package{Name: "systemd", Program: "systemctl"})
}

// A scenario is a row of the table.
type scenario struct {
	name     string
	service  string
	program  string
	shows    []string // requirements
	settings []string // of the unit's [Service]
	rounds   int
	short    bool   // part of the short run
	hung     bool   // with a request whose handler does not return
	result   string // of the unit, for systemd; "" means any
	exit     string // "" means any
	says     string // in the log of the last run, or of the next one if that was killed
}

const (
	often = 10
	few   = 3
)

var scenarios = []scenario{
	{
		name: "systemctl stop", service: "library", program: parts.Library, shows: []string{"R3", "R7"},
		rounds: often, short: true, result: "success", exit: "0", says: "finished",
	},
	{
		name: "systemctl stop", service: "naive", program: parts.Naive,
		rounds: often, short: true,
	},
	{
		name: "a request hangs, TimeoutStopSec=10, SHUTDOWN_GRACE_PERIOD=10", service: "library", program: parts.Library, shows: []string{"R10", "R25"},
		settings: []string{"TimeoutStopSec=10", "Environment=SHUTDOWN_GRACE_PERIOD=10"},
		rounds:   few, hung: true, result: "exit-code", exit: "1", says: "timed out",
	},
	{
		name: "a request hangs, TimeoutStopSec=10", service: "naive", program: parts.Naive,
		settings: []string{"TimeoutStopSec=10"}, rounds: few, hung: true,
	},
	{
		name: "a request hangs, TimeoutStopSec=3, not told", service: "library", program: parts.Library, shows: []string{"R6"},
		settings: []string{"TimeoutStopSec=3"}, rounds: few, hung: true,
		result: "timeout", exit: "SIGKILL", says: "the last run was killed",
	},
}

func measure(ctx context.Context, env *parts.Env) (table report.Table, err error) {
	m, err := startManager(ctx, env.Dir)
	if err != nil {
		return table, err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	version, err := m.systemctl(ctx, "--version")
	if err != nil {
		return table, err
	}
	table.Versions, _, _ = strings.Cut(version, "\n")
	for i, s := range scenarios {
		if env.Short && !s.short {
			continue
		}
		row, err := s.measure(ctx, m, env, fmt.Sprintf("e2e-%d", i))
		table.Rows = append(table.Rows, row)
		if err != nil {
			return table, fmt.Errorf("%s, %s: %w", s.name, s.service, err)
		}
	}
	return table, nil
}

// roundLimit bounds a round. The longest takes 12 s.
const roundLimit = time.Minute

func (s *scenario) measure(ctx context.Context, m *manager, env *parts.Env, name string) (report.Row, error) {
	row := report.Row{Scenario: s.name, Service: s.service, Requirements: s.shows, Rounds: s.rounds}
	if env.Short {
		row.Rounds = min(2, s.rounds)
	}
	dir := filepath.Join(env.Dir, name) // of the log and the record
	unit := append([]string{
		"[Unit]", "DefaultDependencies=no",
		"[Service]", "ExecStart=" + env.Program(s.program), "KillMode=mixed",
		"WorkingDirectory=" + dir, "StandardError=append:" + filepath.Join(dir, "log"),
	}, s.settings...)
	if err := errors.Join(os.Mkdir(dir, 0o700), m.write(name+".service", strings.Join(unit, "\n")+"\n")); err != nil {
		return row, err
	}
	for n := range row.Rounds {
		env.Progress.Show(fmt.Sprintf("systemd: %s, %s: stop %d of %d", s.name, s.service, n+1, row.Rounds))
		ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round had not ended after %v", roundLimit))
		err := s.round(ctx, m, name+".service", &row)
		cancel()
		if err != nil {
			return row, err
		}
	}
	return row, s.check(ctx, m, name+".service", filepath.Join(dir, "log"), &row)
}

func (s *scenario) round(ctx context.Context, m *manager, unit string, row *report.Row) error {
	if _, err := m.systemctl(ctx, "start", unit); err != nil {
		return err
	}
	return traffic.StopUnderLoad(ctx, row, "127.0.0.1", s.hung, func(ctx context.Context) (string, error) {
		if _, err := m.systemctl(ctx, "stop", unit); err != nil {
			return "", err
		}
		result, err := m.show(ctx, unit, "Result")
		if err != nil {
			return "", err
		}
		if s.result != "" && result != s.result {
			row.Problem("the unit's result is %q and not %q", result, s.result)
		}
		code, err := m.show(ctx, unit, "ExecMainCode")
		if err != nil {
			return "", err
		}
		status, err := m.show(ctx, unit, "ExecMainStatus")
		const killed = "2" // CLD_KILLED
		if code == killed && status == "9" {
			status = "SIGKILL"
		}
		return status, err
	})
}

// check completes the row, after the last round.
func (s *scenario) check(ctx context.Context, m *manager, unit, log string, row *report.Row) error {
	if s.exit == "" {
		return nil // the control
	}
	row.ExitsOnly(s.exit)
	if s.exit == "SIGKILL" { // the next run says where it was
		if _, err := m.systemctl(ctx, "start", unit); err != nil {
			return err
		}
		if err := traffic.Await(ctx, "127.0.0.1"); err != nil {
			return err
		}
		if _, err := m.systemctl(ctx, "stop", unit); err != nil {
			return err
		}
	} else {
		row.NothingLost()
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		var l struct{ Msg string }
		if json.Unmarshal([]byte(line), &l) == nil && strings.HasPrefix(l.Msg, "shutdown: "+s.says) {
			row.Says = strings.TrimPrefix(l.Msg, "shutdown: ")
		}
	}
	if row.Says == "" {
		row.Problem("the log has no line %q", s.says)
	}
	return nil
}
