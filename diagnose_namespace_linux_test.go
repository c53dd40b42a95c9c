package shutdown_test

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// Each command runs in a PID namespace of its own, as in a container. The findings of New are
// compared with what happens: PID 1 gets SIGTERM, and the Close hook runs or does not.

func TestAStartThatKeepsSignalsFromArrivingIsReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command []string
		want    string
	}{
		"shell form":              {sh(`"$APP"; true`), `PID 1 is sh -c "$APP"; true, which does not pass SIGTERM on: end the script with` + " `exec "},
		"shell form, bash":        {[]string{"bash", "-c", `"$APP"; true`}, "PID 1 is bash -c"},
		"shell form, dash":        {[]string{"dash", "-c", `"$APP"`}, "PID 1 is dash -c"},
		"shell form, busybox":     {[]string{"busybox", "sh", "-c", `"$APP"; true`}, "PID 1 is busybox sh -c"},
		"a pipe to a log":         {sh(`"$APP" | cat`), "PID 1 is sh -c"},
		"script without exec":     {[]string{"./start.sh"}, "PID 1 is /bin/sh ./start.sh, which does not pass SIGTERM on"},
		"nested":                  {sh(`sh -c '"$APP"; true'; true`), `; nor does sh -c "$APP"; true below that pass it on`},
		"shell form of a script":  {sh(`./start.sh; true`), "; nor does /bin/sh ./start.sh below that pass it on"},
		"a package runner":        {[]string{"./npm", "start", "--", "sh", "-c", `"$APP"; true`}, "PID 1 is ./npm start"},
		"a trap that is set late": {sh(`"$APP" & pid=$!; sleep 1000; trap 'kill -TERM $pid' TERM; wait $pid`), ", which does not pass SIGTERM on while it runs "},
		"two commands, no trap":   {sh(`"$APP" & sleep 1000 & ` + awaitExec("sleep") + `; wait`), "..., which does not pass SIGTERM on: end"},
		"go run":                  {[]string{"go", "run", "main.go"}, "PID 1 is go run main.go, which does not pass SIGTERM on: build the program"},
		"flock":                   {[]string{"flock", "lock", "./exec.sh"}, "PID 1 is flock lock ./exec.sh, which does not pass SIGTERM on: start the program itself"},
		"tini and a script":       {[]string{"tini", "./start.sh"}, "PID 1 is tini ./start.sh, and /bin/sh ./start.sh below it ends on SIGTERM"},
		"tini -g and a script":    {[]string{"tini", "-g", "./start.sh"}, "PID 1 is tini -g ./start.sh, and /bin/sh ./start.sh below it"},
		"docker --init, a script": {[]string{"./docker-init", "--", "./start.sh"}, "PID 1 is ./docker-init -- ./start.sh, and /bin/sh"},
		"dumb-init and a script":  {[]string{"dumb-init", "./start.sh"}, "PID 1 is dumb-init ./start.sh, and /bin/sh"},
		"catatonit and a script":  {[]string{"catatonit", "./start.sh"}, "PID 1 is catatonit ./start.sh, and /bin/sh"},
		"tini and go run":         {[]string{"tini", "--", "go", "run", "main.go"}, "and go run main.go below it ends on SIGTERM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inNamespace(t, "diagnose", test.command, func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, cleanUpEnv+"=1m")
			})
			p.out.await("ready")
			require.Len(t, p.findings(), 1)
			require.Contains(t, p.findings()[0], test.want)
			p.log.await("level=WARN msg=\"shutdown: PID 1 is ")

			p.send(syscall.SIGTERM)
			wait := cleanUp + 500*time.Millisecond // the Close hook would have run by then
			if strings.Contains(test.want, "below it") {
				wait = patience // until it is killed; with tini -g it may get SIGTERM before
			}
			select {
			case <-p.ended:
				require.NotContains(t, p.events(), "cleaned up", "the finding is wrong")
			case <-time.After(wait):
				require.NotContains(t, test.want, "below it")
				require.Empty(t, p.events(), "the finding is wrong")
				_ = p.cmd.Process.Kill() // a package runner may be about to end
				<-p.ended
			}
		})
	}
}

func TestAStartThatDeliversSignalsIsNotReported(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"exec form":               {"./app"},
		"script with exec":        {"./exec.sh"},
		"shell form with exec":    sh(`exec "$APP"`),
		"nested, with exec":       sh(`exec sh -c 'exec "$APP"'`),
		"bash execs by itself":    {"bash", "-c", `"$APP"`},
		"tini":                    {"tini", "--", "./app"},
		"tini -g":                 {"tini", "-g", "--", "./app"},
		"docker --init":           {"./docker-init", "--", "./app"},
		"dumb-init":               {"dumb-init", "./app"},
		"dumb-init -c":            {"dumb-init", "-c", "./app"},
		"catatonit":               {"catatonit", "./app"},
		"tini, script and exec":   {"tini", "./exec.sh"},
		"npm and exec":            {"./npm", "start", "--", "sh", "-c", `exec "$APP"`},
		"trap":                    {"./trap.sh"},
		"a trap that is set late": {"./trap2.sh"},
		"tini and trap":           {"tini", "./trap2.sh"},
		"timeout":                 {"timeout", "1h", "./app"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inNamespace(t, "diagnose", command)
			p.out.await("ready")
			require.Empty(t, p.findings())
			p.send(syscall.SIGTERM)
			p.requireExit(0)
			require.Equal(t, []string{"got SIGTERM", "cleaned up"}, p.events())
			require.Empty(t, p.warnings())
		})
	}
}

func TestASignalIgnoredFromTheStartIsReported(t *testing.T) {
	t.Parallel()
	p := inNamespace(t, "diagnose HUP", sh(`trap '' HUP; exec "$APP"`))
	p.out.await("ready")
	require.Len(t, p.findings(), 1)
	require.Contains(t, p.findings()[0], "SIGHUP was ignored when the program started")
	p.send(syscall.SIGTERM)
	p.requireExit(0)

	p = inNamespace(t, "diagnose HUP", sh(`exec "$APP"`))
	p.out.await("ready")
	require.Empty(t, p.findings())
	p.send(syscall.SIGHUP)
	p.requireExit(0)
}

func TestATimeoutWithoutAMarginIsReported(t *testing.T) {
	t.Parallel()
	p := inNamespace(t, "diagnose a margin", []string{"./app"})
	p.out.await("ready")
	require.Len(t, p.findings(), 1)
	require.Contains(t, p.findings()[0], "leaves 50ms of the grace period of 1m0s")
	p.send(syscall.SIGTERM)
	p.requireExit(0)
}

// Here the signal does not go to PID 1, or not to PID 1 alone, or there is none.
func TestNothingIsReportedUnderASupervisorOrACIRunner(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"s6":                      {"s6-svscan", "services"},
		"systemd":                 {"./systemd", "--", "./start.sh"},
		"CI: go test in a script": sh(`./go test -- "$APP"; true`),
		"CI: a script from stdin": sh(`echo '"$APP"; true' | sh -e; true`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := inNamespace(t, "diagnose", command)
			p.out.await("ready")
			require.Empty(t, p.findings())
		})
	}
}

func TestTheShellOfDockerExecIsNotReported(t *testing.T) {
	t.Parallel()
	container := inNamespace(t, "diagnose", []string{"./start.sh"})
	container.out.await("ready")
	require.Len(t, container.findings(), 1)
	p := inNamespace(t, "diagnose", sh(`"$APP"; true`), func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `exec nsenter --target "$0" --pid --mount "$@"`, strconv.Itoa(container.cmd.Process.Pid)}, cmd.Args[4:]...)
		cmd.SysProcAttr = nil
	})
	t.Cleanup(func() { _ = container.cmd.Process.Kill() }) // ends the whole namespace before p is waited for
	p.out.await("ready")
	require.Empty(t, p.findings())
}

// PID 1 of a development container may be a shell that only waits. A process that docker exec
// leaves in the background becomes its child, but the shell has not started it.
func TestPID1IsNotReportedForAProcessThatDockerExecLeftToIt(t *testing.T) {
	t.Parallel()
	container := inNamespace(t, "diagnose", []string{"./start.sh"})
	container.out.await("ready")
	require.Len(t, container.findings(), 1)
	p := inNamespace(t, "diagnose", []string{"setsid"}, func(cmd *exec.Cmd) {
		cmd.Args = []string{"sh", "-c", `exec nsenter --target "$0" --pid --mount setsid --fork "$APP"`, strconv.Itoa(container.cmd.Process.Pid)}
		cmd.SysProcAttr = nil
	})
	t.Cleanup(func() { _ = container.cmd.Process.Kill() }) // ends the whole namespace before p is waited for
	p.out.await("ready")
	require.Empty(t, p.findings())
}

// A shell may start the program first, and set its trap a moment later.
func TestAShellThatMaySetItsTrapLaterIsNotReported(t *testing.T) {
	t.Parallel()
	p := inNamespace(t, "diagnose at once", []string{"./trap3.sh"})
	p.out.await("ready")
	require.Empty(t, p.findings())
}

func TestAnInteractiveShellIsNotReported(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"docker run -it":        {"bash", "--norc", "-i"},
		"docker run --init -it": {"tini", "bash"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
			require.NoError(t, err)
			defer terminal.Close()
			require.NoError(t, unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0))
			n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
			require.NoError(t, err)
			tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
			require.NoError(t, err)
			defer tty.Close()
			p := inNamespace(t, "diagnose", command, func(cmd *exec.Cmd) {
				cmd.Stdin = tty
				cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
			})
			_, err = terminal.WriteString("$APP\n")
			require.NoError(t, err)
			p.out.await("ready")
			require.Empty(t, p.findings())
			_, err = terminal.Write([]byte{3}) // Ctrl-C, which does arrive
			require.NoError(t, err)
			p.awaitEvent("cleaned up")
		})
	}
}

func TestNothingIsReportedInATest(t *testing.T) {
	log := &testlog.Buffer{}
	m, err := shutdown.New(shutdown.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	m.Begin(nil)
	require.NoError(t, m.Wait())
	require.Empty(t, warnings(log.String()))
}

func TestNothingIsReportedIfProcHidesOtherProcesses(t *testing.T) {
	t.Parallel()
	p := inNamespace(t, "diagnose as nobody", []string{"./start.sh"})
	p.out.await("ready")
	require.Len(t, p.findings(), 1, "the control")

	p = inNamespace(t, "diagnose as nobody", []string{"./start.sh"}, func(cmd *exec.Cmd) {
		cmd.Args[2] = strings.Replace(cmd.Args[2], "-t proc", "-t proc -o hidepid=2", 1)
	})
	p.out.await("ready")
	require.Empty(t, p.findings())
	require.Empty(t, p.warnings())
}

// awaitExec is shell code that waits until the child in the background has called exec. Before
// that it is still the shell.
func awaitExec(name string) string {
	return `until read -r comm <"/proc/$!/comm" && [ "$comm" = ` + name + ` ]; do :; done`
}

func TestAnInheritedChildOfPID1IsReported(t *testing.T) {
	t.Parallel()
	p := inNamespace(t, "diagnose", sh(`sleep 1000 & `+awaitExec("sleep")+`; exec "$APP"`))
	p.out.await("ready")
	require.Len(t, p.findings(), 1)
	require.Contains(t, p.findings()[0], "this program is PID 1 and was given a child, sleep 1000 (pid 3): nobody passes SIGTERM on")

	p = inNamespace(t, "diagnose with a child of its own", []string{"./app"})
	p.out.await("ready")
	require.Empty(t, p.findings())

	p = inNamespace(t, "diagnose", []string{"bash", "-c", `exec > >(cat); ` + awaitExec("cat") + `; exec "$APP"`})
	p.out.await("ready")
	require.Empty(t, p.findings(), "it reads the output of the program, so it has to end after it")
}

func TestAPID1ThatDoesNotReapItsChildrenIsReported(t *testing.T) {
	t.Parallel()
	const want = "this program is PID 1 and does not reap its children: sleep (pid "
	p := inNamespace(t, "diagnose with an orphan", []string{"./app"})
	p.out.await("ready")
	require.NotContains(t, p.log.String(), want, "New has looked before the child ended")
	p.send(syscall.SIGTERM)
	p.requireExit(0)
	require.Contains(t, p.log.String(), want, "at the end")

	for name, command := range map[string][]string{"tini": {"tini", "./app"}, "it reaps": {"./app"}} {
		p := inNamespace(t, "diagnose with an orphan", command, func(cmd *exec.Cmd) {
			if name == "it reaps" {
				cmd.Env = append(cmd.Env, "REAP=1")
			}
		})
		p.out.await("ready")
		require.Empty(t, p.findings(), name)
		p.send(syscall.SIGTERM)
		p.requireExit(0)
		require.Empty(t, p.warnings(), name)
	}
}
