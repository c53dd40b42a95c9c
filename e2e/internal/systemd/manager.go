//go:build linux

package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gracefulgo/shutdown/e2e/internal/daemon"
	"github.com/gracefulgo/shutdown/e2e/internal/machine"
)

// A manager is a systemd that runs as systemd --user does.
type manager struct {
	*daemon.Daemon
	env   []string // of systemctl
	units string   // directory
}

const program = "/lib/systemd/systemd"

func startManager(ctx context.Context, dir string) (*manager, error) {
	m := &manager{units: filepath.Join(dir, "units")}
	cgroup := "/sys/fs/cgroup"
	if _, err := os.Stat(cgroup + "/systemd/cgroup.procs"); err == nil { // version 1, or both
		cgroup += "/systemd"
	}
	cgroup += "/" + machine.CgroupPrefix + "-systemd"
	// systemd, and those who ask whether it has booted, look for the first of them.
	for _, path := range []string{"/run/systemd/system", "/run/user", m.units, cgroup} {
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
	// The shell moves itself into the cgroup before it is systemd.
	cmd := exec.Command("/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, cgroup,
		program, "--user", "--unit=test.target", "--log-target=console")
	cmd.Env = m.env
	var err error
	m.Daemon, err = daemon.Start(ctx, cmd, filepath.Join(dir, "systemd.log"), func(ctx context.Context) error {
		_, err := m.systemctl(ctx, "show", "-p", "Version")
		return err
	})
	return m, err
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
	const exitAtOnce = syscall.Signal(34 + 24) // SIGRTMIN+24
	return m.Stop(exitAtOnce)
}
