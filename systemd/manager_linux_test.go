package systemd_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A userManager is a real systemd that runs as systemd --user does, in a mount namespace and
// a cgroup made for the test.
type userManager struct {
	env   []string // of systemctl
	units string   // the directory of its unit files
}

// startUserManager skips the test where a user manager cannot be started.
func startUserManager(t *testing.T) *userManager {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can start a systemd of the test's own")
	}
	systemd := findProgram("/lib/systemd/systemd", "/usr/lib/systemd/systemd")
	if _, err := exec.LookPath("systemctl"); systemd == "" || err != nil {
		require.Empty(t, os.Getenv("CI"), "systemd is not installed")
		t.Skip("systemd is not installed: apt-get install systemd")
	}
	cgroup := makeCgroup(t)
	dir, err := os.MkdirTemp("", "sd") // t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o700))
	m := &userManager{units: filepath.Join(dir, "units")}
	require.NoError(t, os.Mkdir(m.units, 0o700))
	m.write(t, "test.target", "[Unit]\nDefaultDependencies=no\n")
	m.env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_RUNTIME_DIR=" + dir,
		"SYSTEMD_UNIT_PATH=" + m.units + ":", // and the usual ones, which have exit.target
	}
	cmd := exec.Command(os.Args[0], systemd, cgroup)
	cmd.Env = append(slices.Clone(m.env), childEnv+"=boot")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.Signal(34 + 24)) // SIGRTMIN+24: exit at once
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-exited
		}
		if t.Failed() {
			t.Logf("systemd --user wrote:\n%s", log.String())
		}
	})
	for end := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
		out, err := m.command("show", "-p", "Version").CombinedOutput()
		if err == nil {
			t.Logf("%s", out)
			break
		}
		select {
		case <-exited:
			require.FailNow(t, "systemd --user has exited", "%s", log.String())
		default:
		}
		require.True(t, time.Now().Before(end), "systemd --user is not ready: %s %v", out, err)
	}
	return m
}

func findProgram(paths ...string) string {
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}

func init() {
	children["boot"] = func() {
		systemd, cgroup := os.Args[1], os.Args[2]
		must(os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0))
		// systemd looks for this directory, and so do those who ask whether it has booted.
		must(unix.Mount("tmpfs", "/run", "tmpfs", 0, ""))
		must(os.MkdirAll("/run/systemd/system", 0o755))
		must(os.Unsetenv(childEnv))
		must(unix.Exec(systemd, []string{systemd, "--user", "--unit=test.target", "--log-target=console"}, os.Environ()))
	}
}

// makeCgroup makes a cgroup, and removes it with all that runs there.
func makeCgroup(t *testing.T) string {
	t.Helper()
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/systemd/cgroup.procs"); err == nil { // v1, or both
		root += "/systemd"
	}
	cgroup := filepath.Join(root, fmt.Sprintf("shutdown-test-%d", os.Getpid()))
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		t.Skipf("a cgroup cannot be made: %v", err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
			var dirs []string
			_ = filepath.WalkDir(cgroup, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			slices.Reverse(dirs) // the inner ones first
			for _, dir := range dirs {
				procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				for pid := range strings.FieldsSeq(string(procs)) {
					if n, err := strconv.Atoi(pid); err == nil {
						_ = syscall.Kill(n, syscall.SIGKILL)
					}
				}
				_ = os.Remove(dir)
			}
			if _, err := os.Stat(cgroup); err != nil {
				return
			}
			require.True(t, time.Now().Before(end), "the cgroup %s is not removed", cgroup)
		}
	})
	return cgroup
}

func (m *userManager) write(t *testing.T, unit, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(m.units, unit), []byte(text), 0o600))
}

// prepend adds text before a unit file; later settings take precedence, and ExecStart of the
// text is dropped.
func (m *userManager) prepend(t *testing.T, s *service, text string) {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join(m.units, s.unit))
	require.NoError(t, err)
	m.write(t, s.unit, text+"\n[Service]\nExecStart=\n"+string(unit))
}

func (m *userManager) command(args ...string) *exec.Cmd {
	cmd := exec.Command("systemctl", append([]string{"--user", "--no-pager"}, args...)...)
	cmd.Env = m.env
	return cmd
}

// ctl runs systemctl, which must succeed.
func (m *userManager) ctl(t *testing.T, args ...string) {
	t.Helper()
	out, err := m.command(args...).CombinedOutput()
	require.NoError(t, err, "systemctl %s: %s", strings.Join(args, " "), out)
}

// show returns a property of a unit.
func (m *userManager) show(t *testing.T, unit, property string) string {
	t.Helper()
	out, err := m.command("show", "-p", property, "--value", unit).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

// await waits until a property contains a text.
func (m *userManager) await(t *testing.T, unit, property, text string) {
	t.Helper()
	var got string
	for end := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		if got = m.show(t, unit, property); strings.Contains(got, text) {
			return
		}
		require.True(t, time.Now().Before(end), "%s of %s is %q and not %q", property, unit, got, text)
	}
}

// A service is a unit that runs this test binary.
type service struct {
	*userManager
	unit string
	dir  string // of its files
}

// service writes a unit that runs a program of the test, with these lines more in [Service].
// systemd reads it when it is started first, without a daemon-reload, which would change the
// timeouts of other tests.
func (m *userManager) service(t *testing.T, name, program string, lines ...string) *service {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	s := &service{m, name + ".service", t.TempDir()}
	text := "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\n" +
		"ExecStart=" + self + "\n" +
		"Environment=" + childEnv + "=" + program + " DIR=" + s.dir + "\n" +
		"StandardError=append:" + s.file("log") + "\n" +
		strings.Join(lines, "\n") + "\n"
	m.write(t, s.unit, text)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s wrote:\n%s", s.unit, s.read("log"))
		}
		_ = m.command("kill", "--signal=SIGKILL", s.unit).Run()
		_ = m.command("stop", s.unit).Run()
	})
	return s
}

func (s *service) file(name string) string { return filepath.Join(s.dir, name) }

func (s *service) create(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.WriteFile(s.file(name), nil, 0o600))
}

func (s *service) read(name string) string {
	text, _ := os.ReadFile(s.file(name))
	return string(text)
}
