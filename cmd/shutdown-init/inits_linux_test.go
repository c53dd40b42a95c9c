package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
)

// asPID1 returns a trial of argv as PID 1 of a new PID namespace, with its /proc. When
// it exits, the kernel kills all other processes of the namespace.
func asPID1(t *testing.T, argv ...string) *trial {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make a PID namespace with a /proc of its own")
	}
	r := command(t, append([]string{"sh", "-c", `mount -t proc proc /proc && exec "$@"`, "sh"}, argv...)...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	return r
}

// inits returns the inits to compare, in Debian's versions, and none.
func inits(t *testing.T, flags ...string) []struct {
	name string
	argv []string
} {
	for _, name := range []string{"tini", "dumb-init", "catatonit"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%v: install tini, dumb-init and catatonit", err)
			}
			t.Skipf("%v: install tini, dumb-init and catatonit", err)
		}
	}
	return []struct {
		name string
		argv []string
	}{
		{"none", nil},
		{"tini", []string{"tini", "--"}},
		{"tini -g", []string{"tini", "-g", "--"}},
		{"dumb-init", []string{"dumb-init", "--"}},
		{"catatonit", []string{"catatonit", "--"}},
		{"shutdown-init", self(t, append(flags, "--")...)},
	}
}

const ours = "shutdown-init"

// drawn returns a function that adds a row to a table. The table is printed when the
// test has ended.
func drawn(t *testing.T, header string) func(format string, args ...any) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, header)
	t.Cleanup(func() {
		w.Flush()
		t.Log("\n" + text.String())
	})
	return func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func TestAStartScriptWithoutExec(t *testing.T) {
	row := drawn(t, "PID 1\tapp got TERM\tclean-up ran\texit\ttime")
	for _, init := range inits(t, "--ok", "143", "--grace", "25s") {
		var (
			got, code int
			saved     bool
			took      time.Duration
		)
		// An init that does not wait, but is not scheduled for a second, looks as if it
		// had waited.
		for try := 1; try == 1 || saved && init.name != ours && try <= 5; try++ {
			r := asPID1(t, append(init.argv, "sh", "-c", noExec)...).start().says("up", 1)
			r.signal(syscall.SIGTERM)
			if init.argv == nil { // the shell ignores it: the platform has to kill
				time.AfterFunc(2*time.Second, func() { _ = r.cmd.Process.Kill() })
			}
			code, took = r.ends()
			got, saved = strings.Count(r.text(), "TERM\n"), strings.Contains(r.text(), "saved\n")
		}
		row("%s\t%d\t%s\t%d\t%v", init.name, got, yes(saved), code, took.Round(time.Millisecond))
		require.Equal(t, init.name == ours, saved, init.name)
		if init.name == ours {
			require.Equal(t, 1, got)
			require.Equal(t, 0, code)
		}
	}
}

func TestADaemonThatTheChildLeaves(t *testing.T) {
	row := drawn(t, "PID 1\tdaemon up after its starter\tclean-up ran\texit")
	script := `setsid ` + app + ` & while ! grep -q up $LOG; do sleep 0.05; done; exit 0`
	for _, init := range inits(t, "--grace", "25s") {
		r := asPID1(t, append(init.argv, "sh", "-c", script)...).start().says("up", 1)
		ended := make(chan int, 1)
		go func() { code, _ := r.ends(); ended <- code }()
		up, code := true, 0
		if init.name == ours {
			// Its only child is the daemon, which was an orphan.
			require.Eventually(t, func() bool { return commsBelow(t, r.cmd.Process.Pid) == "bash" }, soon, 5*time.Millisecond)
		}
		patience := soon / 2 // for those that exit
		if init.name == ours {
			patience = 200 * time.Millisecond
		}
		select {
		case code = <-ended:
			up = false
		case <-time.After(patience):
			require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
			code = <-ended
		}
		saved := strings.Contains(r.text(), "saved\n")
		row("%s\t%s\t%s\t%d", init.name, yes(up), yes(saved), code)
		require.Equal(t, init.name == ours, up, init.name)
		require.Equal(t, init.name == ours, saved, init.name)
		require.Zero(t, code)
	}
}

// commsBelow returns the names of the children of a process.
func commsBelow(t *testing.T, parent int) string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var comms []string
	for _, e := range entries {
		line, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		before, after, _ := strings.Cut(string(line), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			_, comm, _ := strings.Cut(before, "(")
			comms = append(comms, comm)
		}
	}
	return strings.Join(comms, " ")
}

func TestRewritingASignal(t *testing.T) {
	row := drawn(t, "PID 1\tapp got\texit")
	script := `trap "echo HUP >>$LOG; exit 0" HUP; trap "echo TERM >>$LOG; exit 1" TERM; echo up >>$LOG; while :; do sleep 0.05; done`
	for _, init := range inits(t, "--signal", "TERM=HUP", "--grace", "25s") {
		if init.name == "dumb-init" {
			init.argv = []string{"dumb-init", "--rewrite", "15:1", "--"}
		}
		r := asPID1(t, append(init.argv, "bash", "-c", script)...).start().says("up", 1)
		code, _ := r.signal(syscall.SIGTERM).ends()
		got := strings.Fields(strings.TrimPrefix(r.text(), "up\n"))
		row("%s\t%s\t%d", init.name, strings.Join(got, " "), code)
		if init.name == ours || init.name == "dumb-init" {
			require.Equal(t, []string{"HUP"}, got, init.name)
			require.Zero(t, code)
		}
	}
}

func TestOrphansAreReaped(t *testing.T) {
	row := drawn(t, "PID 1\torphans\tzombies")
	// The orphans exit when sleep, which reaps nothing, has replaced the script: sh
	// might reap them.
	script := `export STARTER=$$; for i in 1 2 3 4 5 6 7 8 9 10; do
		(sh -c 'until grep -q sleep /proc/$STARTER/comm; do sleep 0.05; done; echo orphan >>$LOG' &)
	done; exec sleep 600`
	for _, init := range inits(t) {
		r := asPID1(t, append(init.argv, "sh", "-c", script)...).start().says("orphan", 10)
		want := 0
		if init.name == "none" { // the control: sleep reaps nothing
			want = 10
		}
		zombies := -1
		require.Eventually(t, func() bool {
			zombies = zombiesOf(t, r.cmd.Process.Pid)
			return zombies == want
		}, soon, 5*time.Millisecond, init.name)
		row("%s\t10\t%d", init.name, zombies)
		_ = r.cmd.Process.Kill()
		r.ends()
	}
}

// zombiesOf counts the children of a process that have not been reaped.
func zombiesOf(t *testing.T, parent int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	n := 0
	for _, e := range entries {
		line, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		_, after, _ := strings.Cut(string(line), ") ")
		if strings.HasPrefix(after, fmt.Sprintf("Z %d ", parent)) {
			n++
		}
	}
	return n
}

func TestAChildThatIgnoresAllSignals(t *testing.T) {
	row := drawn(t, "PID 1\tgone at the end of its grace period\texit\ttime")
	script := `trap "" TERM INT HUP QUIT; setsid sleep 600 & echo up >>$LOG; while :; do sleep 0.05; done`
	for _, init := range inits(t, "--grace", "500ms") {
		r := asPID1(t, append(init.argv, "bash", "-c", script)...).start().says("up", 1)
		r.signal(syscall.SIGTERM)
		patience := 2 * time.Second
		if init.name == ours {
			patience = soon / 2
		}
		timer := time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() })
		code, took := r.ends()
		gone := timer.Stop()
		row("%s\t%s\t%d\t%v", init.name, yes(gone), code, took.Round(time.Millisecond))
		require.Equal(t, init.name == ours, gone, init.name)
		require.Equal(t, 137, code, init.name)
		if init.name == ours {
			require.GreaterOrEqual(t, took, 500*time.Millisecond)
		}
	}
}

func TestAProcOfAnotherPIDNamespaceIsRefused(t *testing.T) {
	r := asPID1(t, self(t, "--", "true")...)
	r.cmd.Args[2] = `exec "$@"` // without a /proc of its own
	code, _ := r.start().ends()
	require.Equal(t, 126, code)
	require.Contains(t, r.stderr.String(), "/proc is that of another PID namespace")
}
