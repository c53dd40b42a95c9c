package systemd_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testclock"
)

func TestUnderSystemd(t *testing.T) {
	m := startUserManager(t)
	for name, test := range map[string]func(t *testing.T, m *userManager){
		"a service is active when ready agrees, and its status says what it waits for": testStatus,
		"a slow hook survives TimeoutStopSec with Notify":                              testExtension,
		"a main that hangs is killed shortly after Timeout":                            testFiniteExtension,
		"the shutdown ends within TimeoutStopSec with GracePeriod":                     testGracePeriod,
		"GracePeriod is that of the unit":                                              testGracePeriodOfUnit,
		"GracePeriod asks the system's manager":                                        testGracePeriodOfSystem,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, m)
		})
	}
}

func TestRestartsUnderSystemdLoseNoRequest(t *testing.T) {
	testRestarts(t, startUserManager(t))
}

func testStatus(t *testing.T, m *userManager) {
	s := m.service(t, "status", "service", "Type=notify", "Environment=READY=1 HOLD=1")
	m.ctl(t, "start", "--no-block", s.unit)
	m.await(t, s.unit, "StatusText", "not ready: waiting for the file")
	require.Equal(t, "activating", m.show(t, s.unit, "ActiveState"))
	s.create(t, "ready")
	m.await(t, s.unit, "ActiveState", "active")
	m.await(t, s.unit, "StatusText", "ready")

	// Not systemctl stop: only STOPPING=1 can tell systemd.
	pid, err := strconv.Atoi(m.show(t, s.unit, "MainPID"))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
	m.await(t, s.unit, "ActiveState", "deactivating")
	m.await(t, s.unit, "StatusText", "of 1m25s, waiting for drain hook hold (")
	first := m.show(t, s.unit, "StatusText")
	next := first
	for end := time.Now().Add(soon); next == first; next = m.show(t, s.unit, "StatusText") {
		require.True(t, time.Now().Before(end), "the status is still %q", first)
		time.Sleep(20 * time.Millisecond)
	}
	require.Regexp(t, `^in drain, \S+s of 1m25s, waiting for drain hook hold \(\S+s\)$`, next)
	s.create(t, "release")
	m.await(t, s.unit, "ActiveState", "inactive")
	require.Equal(t, "success", m.show(t, s.unit, "Result"))
	require.FileExists(t, s.file("flushed"))
}

// full reports whether a test is to last as long as it does in the field.
func full() bool { return os.Getenv(testclock.Full) == "full" }

// tries is how often a test repeats a stop that proves nothing because the machine was too slow
// at the wrong moment. A bug fails each of them.
const tries = 10

// stops starts the service and stops it, until the result is the wanted one. It returns how long
// that stop took.
func (s *service) stops(t *testing.T, want string, stop func()) (took time.Duration) {
	t.Helper()
	for n := 1; ; n++ {
		_ = os.Remove(s.file("flushed"))
		_ = os.Remove(s.file("up"))
		s.ctl(t, "start", s.unit)
		for end := time.Now().Add(soon); s.missing("up"); time.Sleep(10 * time.Millisecond) {
			require.True(t, time.Now().Before(end), "%s does not start", s.unit)
		}
		began := time.Now()
		stop()
		took = time.Since(began)
		got := s.show(t, s.unit, "Result")
		t.Logf("ended after %v, result %s", took, got)
		if got == want {
			return took
		}
		require.Less(t, n, tries, "the result is %q and not %q", got, want)
	}
}

func (s *service) missing(file string) bool {
	_, err := os.Stat(s.file(file))
	return err != nil
}

func testExtension(t *testing.T, m *userManager) {
	stop, hook := time.Second, 3*time.Second
	if full() {
		stop, hook = 5*time.Second, 20*time.Second
	}
	for name, test := range map[string]struct {
		program string
		signal  bool // the service begins to stop by itself, and STOPPING=1 starts TimeoutStopSec
		want    string
	}{
		"systemctl stop":           {"service", false, "success"},
		"kill":                     {"service", true, "success"},
		"control: a naive program": {"naive", false, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := m.service(t, fmt.Sprintf("extension-%s-%t", test.program, test.signal), test.program,
				typeOf(test.program), fmt.Sprintf("TimeoutStopSec=%v", stop), fmt.Sprintf("Environment=HOOK=%v", hook))
			took := s.stops(t, test.want, func() {
				if !test.signal {
					m.ctl(t, "stop", s.unit)
					return
				}
				m.ctl(t, "kill", "--kill-whom=main", "--signal=SIGTERM", s.unit)
				m.await(t, s.unit, "ActiveState", "deactivating")
				for end := time.Now().Add(soon); m.show(t, s.unit, "ActiveState") == "deactivating"; time.Sleep(20 * time.Millisecond) {
					require.True(t, time.Now().Before(end))
				}
			})
			if test.want == "success" {
				require.GreaterOrEqual(t, took, hook)
				require.FileExists(t, s.file("flushed"))
			} else {
				require.NoFileExists(t, s.file("flushed"))
			}
		})
	}
}

// typeOf is the Type of a unit. A naive program sends no READY=1.
func typeOf(program string) string {
	if program == "naive" {
		return "Type=simple"
	}
	return "Type=notify"
}

func testFiniteExtension(t *testing.T, m *userManager) {
	s := m.service(t, "finite", "service", "Type=notify", "TimeoutStopSec=1s", "Environment=TIMEOUT=2s HANG=1 HOLD=1")
	for n := 1; ; n++ {
		took := s.stops(t, "timeout", func() { m.ctl(t, "stop", s.unit) })
		if took >= 2*time.Second && !s.missing("flushed") { // the Manager has ended before
			require.Less(t, took, soon)
			return
		}
		require.Less(t, n, tries, "killed before the Timeout")
	}
}

func testGracePeriod(t *testing.T, m *userManager) {
	stop, hook := 2*time.Second, 6*time.Second
	if full() {
		stop, hook = 5*time.Second, 20*time.Second
	}
	for program, want := range map[string]string{"service": "exit-code", "naive": "timeout"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			s := m.service(t, "grace-"+program, program,
				typeOf(program), fmt.Sprintf("TimeoutStopSec=%v", stop), fmt.Sprintf("Environment=ASK=1 HOOK=%v", hook))
			s.stops(t, want, func() { m.ctl(t, "stop", s.unit) })
			if program == "naive" {
				require.NoFileExists(t, s.file("flushed"))
				return
			}
			require.FileExists(t, s.file("flushed"), "the Close hook has run")
			log := s.read("log")
			require.Contains(t, log, fmt.Sprintf(`grace_period_seconds=%v grace_source=Config.GracePeriod timeout_seconds=%v`, stop.Seconds(), stop.Seconds()*0.9))
			require.Contains(t, log, `shutdown: timed out`)
			require.Contains(t, m.show(t, s.unit, "StatusText"), "waiting for drain hook upload (", "the last one")
		})
	}
}

func testGracePeriodOfUnit(t *testing.T, m *userManager) {
	self, err := os.Executable()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		lines []string
		want  string
	}{
		"seven":     {[]string{"TimeoutStopSec=7"}, "7s"},
		"precise":   {[]string{"TimeoutStopSec=1min 30s 250ms"}, "1m30.25s"},
		"default":   {nil, "1m30s"},
		"infinity":  {[]string{"TimeoutStopSec=infinity"}, "0s"},
		"no-exec":   {[]string{"ExecStart=", "ExecStart=/bin/sh -c '" + self + "; true'", "TimeoutStopSec=7"}, "0s"},
		"with-exec": {[]string{"ExecStart=", "ExecStart=/bin/sh -c 'exec " + self + "'", "TimeoutStopSec=7"}, "7s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := m.service(t, "unit-"+name, "grace", append([]string{"Type=oneshot"}, test.lines...)...)
			m.ctl(t, "start", s.unit)
			require.Equal(t, test.want, s.read("grace"))
		})
	}
}

// Without MANAGERPID a process is one of the system's manager. Here it is the same systemd.
func testGracePeriodOfSystem(t *testing.T, m *userManager) {
	t.Run("over the system bus", func(t *testing.T) {
		daemon, err := exec.LookPath("dbus-daemon")
		if err != nil {
			require.Empty(t, os.Getenv("CI"), "dbus-daemon is not installed")
			t.Skip("dbus-daemon is not installed: apt-get install dbus-daemon")
		}
		// systemd takes part in a bus whose units have these names.
		m.write(t, "dbus.socket", "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=%t/bus\n")
		m.write(t, "dbus.service", "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\n"+
			"Type=notify\nExecStart="+daemon+" --session --address=systemd: --nofork --nopidfile --systemd-activation\n")
		m.ctl(t, "start", "dbus.service")
		t.Cleanup(func() { _ = m.command("stop", "dbus.service", "dbus.socket").Run() })
		s := m.service(t, "system-bus", "grace", "Type=oneshot", "TimeoutStopSec=7",
			"UnsetEnvironment=MANAGERPID", "Environment=DBUS_SYSTEM_BUS_ADDRESS=unix:path=%t/bus")
		m.ctl(t, "start", s.unit)
		require.Equal(t, "7s", s.read("grace"))
	})
	t.Run("as root", func(t *testing.T) {
		s := m.service(t, "system-private", "grace", "Type=oneshot", "TimeoutStopSec=7", "UnsetEnvironment=MANAGERPID",
			"ExecStartPre=/bin/ln -s %t/systemd/private /run/systemd/private")
		m.ctl(t, "start", s.unit)
		require.Equal(t, "7s", s.read("grace"))
	})
}

const clients = 32

// The same restarts, of a service with a socket unit and of a program with its own port, which
// fails in each of them.
func testRestarts(t *testing.T, m *userManager) {
	restarts, control := 4, 2
	if full() {
		restarts, control = 12, 12
	}
	// The units of the documentation, with an address and a program of the test.
	addr := freeAddr(t)
	socket := documented(t, "app.socket")
	require.Contains(t, socket, "ListenStream=8080\n")
	m.write(t, "app.socket", "[Unit]\nDefaultDependencies=no\n"+strings.Replace(socket, "8080", addr, 1))
	app := m.service(t, "app", "service")
	m.prepend(t, app, documented(t, "app.service"))
	m.ctl(t, "start", "app.socket")
	t.Cleanup(func() { _ = m.command("stop", "app.socket").Run() })
	m.ctl(t, "start", app.unit)
	require.Equal(t, "mixed", m.show(t, app.unit, "KillMode"))
	require.Equal(t, "30s", m.show(t, app.unit, "TimeoutStopUSec"))
	got := restarted(t, restarts, app, addr)
	t.Logf("socket unit: %s", summary(restarts, got))
	require.Zero(t, got.Losses(), got.Kinds())
	require.Zero(t, got.Refused)

	addr = freeAddr(t)
	naive := m.service(t, "naive", "naive", "Type=simple", "Environment=ADDR="+addr)
	m.ctl(t, "start", naive.unit)
	awaitPort(t, addr)
	got = restarted(t, control, naive, addr)
	t.Logf("control: %s", summary(control, got))
	require.Positive(t, got.Refused, "no client of the naive program is refused, so this proves nothing")
}

func summary(restarts int, r load.Result) string {
	return fmt.Sprintf("%d restarts under %d clients: %d requests, %d lost (%s), %d refused, slowest answer %v",
		restarts, clients, r.Requests, r.Losses(), r.Kinds(), r.Refused, r.Slowest.Round(time.Millisecond))
}

// linger is how long package httpserver waits for a request on an idle connection, less a
// margin for the time that a client does not see.
const linger = 40 * time.Millisecond

// restarted restarts the service often, under load. A restart in which the clients were not
// scheduled for so long that their connections counted as idle proves nothing and is repeated.
func restarted(t *testing.T, restarts int, s *service, addr string) (sum load.Result) {
	t.Helper()
	for good, slow := 0, 0; good < restarts; {
		r, stall := restart(t, s, addr)
		excused := 0
		for _, idle := range r.IdleBefore {
			if idle+stall > linger {
				excused++
			}
		}
		if excused > 0 && excused == r.Losses() && r.Refused == 0 {
			t.Logf("repeated: %s lost, idle before for %v, clients not scheduled for %v", r.Kinds(), r.IdleBefore, stall)
			slow++
			require.LessOrEqual(t, slow, restarts, "this machine is too slow for this test")
			continue
		}
		good++
		sum.Add(r)
	}
	return sum
}

// restart restarts the service once. A client that is refused ends, so each restart has
// clients of its own. stall is the longest time for which this process was not scheduled.
func restart(t *testing.T, s *service, addr string) (sum load.Result, stall time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	stalled := watchStalls()
	var runs []*load.Run
	for _, mode := range []load.Mode{load.NewConn, load.KeepAlive} {
		runs = append(runs, load.Clients{Mode: mode, N: clients / 2, Addr: addr}.Start(ctx))
	}
	for _, r := range runs {
		require.NoError(t, r.Warm(ctx, 5))
	}
	before := s.show(t, s.unit, "MainPID")
	s.ctl(t, "restart", s.unit)
	require.NotEqual(t, before, s.show(t, s.unit, "MainPID"))
	awaitPort(t, addr)
	for _, r := range runs {
		for more := r.Count() + clients; r.Count() < more && r.Lost() == 0 && ctx.Err() == nil && !ended(r); {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	for _, r := range runs {
		sum.Add(r.Wait())
	}
	return sum, stalled()
}

// watchStalls measures until the longest time for which this process was ready and not
// scheduled is asked for.
func watchStalls() (longest func() time.Duration) {
	const tick = 2 * time.Millisecond
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		var longest time.Duration
		timer := time.NewTimer(tick)
		defer timer.Stop()
		for began := time.Now(); ; began = time.Now() {
			select {
			case <-timer.C:
				longest = max(longest, time.Since(began)-tick)
				timer.Reset(tick)
			case <-stop:
				result <- longest
				return
			}
		}
	}()
	return func() time.Duration { close(stop); return <-result }
}

// ended reports whether all clients of r have been refused.
func ended(r *load.Run) bool {
	done := make(chan struct{})
	go func() { r.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(10 * time.Millisecond):
		return false
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := loopback.FreeAddr()
	require.NoError(t, err)
	return addr
}

func awaitPort(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		require.True(t, time.Now().Before(end), "nothing listens on %s: %v", addr, err)
	}
}
