//go:build linux

package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/machine"
)

// A manager is a systemd that runs as systemd --user does.
type manager struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	env    []string // of systemctl
	units  string   // directory
	cgroup string
}

const (
	program = "/lib/systemd/systemd"

	startLimit = time.Minute
	stopLimit  = 30 * time.Second
)

func startManager(ctx context.Context, dir string) (*manager, error) {
	m := &manager{ended: make(chan struct{}), units: filepath.Join(dir, "units"), cgroup: "/sys/fs/cgroup"}
	if _, err := os.Stat(m.cgroup + "/systemd/cgroup.procs"); err == nil { // version 1, or both
		m.cgroup += "/systemd"
	}
	m.cgroup += "/" + machine.CgroupPrefix + "-systemd"
	// systemd, and those who ask whether it has booted, look for the first of them.
	for _, path := range []string{"/run/systemd/system", "/run/user", m.units, m.cgroup} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
	}
	// Without it there would be units of the machine.
	if err := m.write("test.target", "[Unit]\nDefaultDependencies=no\n"); err != nil {
		return nil, err
	}
	m.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_RUNTIME_DIR=/run/user",
		"SYSTEMD_UNIT_PATH=" + m.units + ":", // and the usual ones, which have exit.target
	}
	log, err := os.Create(filepath.Join(dir, "systemd.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	// The shell moves itself into the cgroup before it is systemd.
	m.cmd = exec.Command("/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, m.cgroup,
		program, "--user", "--unit=test.target", "--log-target=console")
	m.cmd.Env, m.cmd.Stdout, m.cmd.Stderr = m.env, log, log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not stop it first
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = m.cmd.Wait(); close(m.ended) }()
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("systemd was not ready after %v", startLimit))
	defer cancel()
	for {
		if _, err = m.systemctl(ctx, "show", "-p", "Version"); err == nil {
			return m, nil
		}
		select {
		case <-m.ended:
			return nil, fmt.Errorf("systemd has ended: %v; see %s", m.cmd.ProcessState, log.Name())
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err, m.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *manager) write(unit, text string) error {
	return os.WriteFile(filepath.Join(m.units, unit), []byte(text), 0o600)
}

func (m *manager) systemctl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "systemctl", append([]string{"--user", "--no-pager"}, args...)...)
	cmd.Env = m.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// show returns a property of a unit.
func (m *manager) show(ctx context.Context, unit, property string) (string, error) {
	return m.systemctl(ctx, "show", "-p", property, "--value", unit)
}

// stop ends systemd and what it has started.
func (m *manager) stop() error {
	exitAtOnce := syscall.Signal(34 + 24) // SIGRTMIN+24
	err := m.cmd.Process.Signal(exitAtOnce)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-m.ended:
	case <-time.After(stopLimit):
		err = errors.Join(err, fmt.Errorf("systemd had not ended after %v", stopLimit), m.cmd.Process.Kill())
		<-m.ended
	}
	return err
}
