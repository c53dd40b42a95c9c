//go:build linux

package systemd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

// A round starts and stops the service of a scenario once.
type round struct {
	*scenario
	manager *manager
	unit    string
	log     string // file
	row     *report.Row
}

// roundLimit bounds a round. The longest takes 12 s.
const roundLimit = time.Minute

// host has the ports of the services.
const host = "127.0.0.1"

func (s *scenario) measure(ctx context.Context, m *manager, env *parts.Env, name string) (report.Row, error) {
	row := report.Row{Scenario: s.name, Service: s.service, Requirements: s.shows, Rounds: s.rounds}
	if env.Short {
		row.Rounds = min(2, s.rounds)
	}
	dir := filepath.Join(env.Dir, name) // of the log and the record
	r := &round{s, m, name + ".service", filepath.Join(dir, "log"), &row}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return row, err
	}
	lines := []string{"[Unit]", "DefaultDependencies=no", "StartLimitIntervalSec=0"}
	socket := name + ".socket"
	if s.program == parts.SystemdService {
		lines = append(lines, "Requires="+socket, "After="+socket)
	}
	lines = append(lines, "[Service]", "ExecStart="+env.Program(s.program)+" "+s.args, "KillMode=mixed",
		"WorkingDirectory="+dir, "StandardError=append:"+r.log)
	lines = append(lines, s.settings...)
	if err := m.write(r.unit, strings.Join(lines, "\n")+"\n"); err != nil {
		return row, err
	}
	if s.program == parts.SystemdService {
		if err := m.startSocket(ctx, socket); err != nil {
			return row, err
		}
		defer func() { _, _ = m.systemctl(ctx, "stop", socket, r.unit) }() // the next scenario fails if the port is still open
	}
	for n := range row.Rounds {
		env.Progress.Show(fmt.Sprintf("systemd: %s, %s: stop %d of %d", s.name, s.service, n+1, row.Rounds))
		if err := r.limited(ctx, s.round); err != nil {
			return row, err
		}
	}
	err := r.limited(ctx, check)
	return row, err
}

// startSocket starts a socket unit on the port of HTTP.
func (m *manager) startSocket(ctx context.Context, unit string) error {
	text := "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=" + host + ":" + traffic.HTTPPort + "\nFileDescriptorName=http\n"
	if err := m.write(unit, text); err != nil {
		return err
	}
	_, err := m.systemctl(ctx, "start", unit)
	return err
}

func (r *round) limited(ctx context.Context, do func(context.Context, *round) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round had not ended after %v", roundLimit))
	defer cancel()
	return do(ctx, r)
}

func stopUnderLoad(ctx context.Context, r *round) error { return r.stopUnderLoad(ctx, false) }

func stopWithHungRequest(ctx context.Context, r *round) error { return r.stopUnderLoad(ctx, true) }

func (r *round) stopUnderLoad(ctx context.Context, hung bool) error {
	if _, err := r.manager.systemctl(ctx, "start", r.unit); err != nil {
		return err
	}
	return traffic.StopUnderLoad(ctx, r.row, host, hung, r.stop)
}

// restartUnderLoad restarts the service while clients of its socket, which stays open, send
// requests.
func restartUnderLoad(ctx context.Context, r *round) error {
	if _, err := r.manager.systemctl(ctx, "start", r.unit); err != nil {
		return err
	}
	load, err := traffic.StartHTTP(ctx, host)
	if err != nil {
		return err
	}
	_, err = r.manager.systemctl(ctx, "restart", r.unit)
	if err == nil {
		err = load.More(ctx, 100) // of the successor
	}
	sum := load.Stop()
	r.row.Load.Add(sum)
	if sum.Refused > 0 {
		r.row.Problem("%d dials were refused although the socket was open", sum.Refused)
	}
	return err
}

// stopWithoutLoad stops a service all of whose requests have been answered.
func stopWithoutLoad(ctx context.Context, r *round) error {
	if _, err := r.manager.systemctl(ctx, "start", r.unit); err != nil {
		return err
	}
	load, err := traffic.StartHTTP(ctx, host) // returns when the service has answered
	if err != nil {
		return err
	}
	r.row.Load.Add(load.Stop())
	began := time.Now()
	code, err := r.stop(ctx)
	r.row.Gone = append(r.row.Gone, time.Since(began))
	r.row.Exit(code)
	return err
}

// killed is the exit code of a service that systemd has killed.
const killed = "SIGKILL"

// stop stops the service and returns its exit code.
func (r *round) stop(ctx context.Context) (code string, err error) {
	if _, err := r.manager.systemctl(ctx, "stop", r.unit); err != nil {
		return "", err
	}
	result, err := r.manager.show(ctx, r.unit, "Result")
	if err != nil {
		return "", err
	}
	if r.result != "" && result != r.result {
		r.row.Problem("the unit's result is %q and not %q", result, r.result)
	}
	how, err := r.manager.show(ctx, r.unit, "ExecMainCode")
	if err != nil {
		return "", err
	}
	status, err := r.manager.show(ctx, r.unit, "ExecMainStatus")
	const cldKilled = "2"
	if how == cldKilled && status == "9" {
		return killed, err
	}
	return status, err
}

// check completes the row, after the last round.
func check(ctx context.Context, r *round) error {
	if r.says == "" {
		return nil // the control
	}
	if r.exit != "" {
		r.row.ExitsOnly(r.exit)
	}
	if r.exit == killed { // the next run says where it was
		if _, err := r.manager.systemctl(ctx, "start", r.unit); err != nil {
			return err
		}
		if err := traffic.Await(ctx, host); err != nil {
			return err
		}
		if _, err := r.manager.systemctl(ctx, "stop", r.unit); err != nil {
			return err
		}
	} else {
		r.row.NothingLost()
	}
	text, err := os.ReadFile(r.log)
	if err != nil {
		return err
	}
	said := 0
	for line := range strings.Lines(string(text)) {
		var l struct{ Msg string }
		if json.Unmarshal([]byte(line), &l) == nil && strings.HasPrefix(l.Msg, "shutdown: "+r.says) {
			r.row.Says = strings.TrimPrefix(l.Msg, "shutdown: ")
			said++
		}
	}
	if said < r.row.Rounds {
		r.row.Problem("the log has %d lines %q in %d stops", said, r.says, r.row.Rounds)
	}
	return nil
}
