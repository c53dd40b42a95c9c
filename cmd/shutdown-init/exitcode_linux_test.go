package main

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	untilGone = `while kill -0 $STARTER 2>/dev/null; do sleep 0.01; done; `
	forever   = `while :; do sleep 0.05; done`
)

// started is a process that the command starts. On SIGTERM it waits until the command has
// been reaped, and then does this.
func started(then string) string {
	return fmt.Sprintf(`bash -c 'trap "%s%s" TERM; echo up >>$LOG; %s'`, untilGone, then, forever)
}

// daemon is a process that the command leaves. It writes "up" when the command has been
// reaped.
func daemon(then string) string {
	return fmt.Sprintf(`setsid bash -c '%s%s' & `, untilGone, then)
}

// The rows of the table in the package documentation, and more.
func TestTheExitCodeIsThatOfTheCommandAndOfWhatItHasLeft(t *testing.T) {
	const (
		ignores   = `bash -c 'trap "" TERM; echo left >>$LOG; ` + forever + `'`
		untilLeft = `until grep -q left $LOG; do sleep 0.01; done; `
		fails     = "exits with 3 before" // so what it has left is stopped
		onTERM    = `echo up >>$LOG; ` + forever
	)
	row := drawn(t, "command\tprocess that it has left\tkilled\t--ok\texit")
	for _, c := range []struct {
		command, left string // for the table
		killed        bool
		ok            string
		want          int
		script, says  string
	}{
		{"by SIGTERM", "exits with 0", false, "", 143, started("exit 0") + "; :", "exit code 143\n"},
		{"by SIGTERM", "exits with 0", false, "143", 0, started("exit 0") + "; :", "exit code 0\n"},
		{"by SIGTERM", "by SIGTERM", false, "143", 0, `sleep 600 & echo up >>$LOG; wait`, "exit code 0\n"},
		{"by SIGTERM", "exits with 1", false, "", 1, started("exit 1") + "; :", "exit code 1: that of a process that the command has left\n"},
		{"by SIGTERM", "exits with 1", false, "143", 1, started("exit 1") + "; :", "exit code 1: that of a process that the command has left\n"},
		{"by SIGTERM", "by SIGABRT", false, "143", 134, started("kill -ABRT $BASHPID") + "; :", "exit code 134: "},
		{"by SIGTERM", "ignores SIGTERM", true, "", 137, ignores + ` & ` + untilLeft + onTERM, "of them killed, exit code 137: processes had to be killed\n"},
		{"by SIGTERM", "ignores SIGTERM", true, "143", 137, ignores + ` & ` + untilLeft + onTERM, "of them killed, exit code 137: processes had to be killed\n"},
		{"ignores SIGTERM", "", true, "137", 137, `trap "" TERM; ` + onTERM, "of them killed, exit code 137\n"},
		{"exits with 3", "ignores SIGTERM", true, "3", 3, ignores + ` & ` + untilLeft + `trap "exit 3" TERM; ` + onTERM, "exit code 3\n"},
		{"exits with 0", "exits with 7", false, "", 7, daemon(`trap "exit 7" TERM; `+onTERM) + `exit 0`, "exit code 7: "},
		{"exits with 0", "by SIGTERM", false, "", 0, daemon(`echo up >>$LOG; exec sleep 600`) + `exit 0`, "exit code 0\n"},
		{"exits with 3", "exits with 4", false, "3", 4, daemon(`trap "exit 4" TERM; `+onTERM) + `exit 3`, "exit code 4: "},
		{fails, "exits with 4", false, "", 3, started("exit 4") + ` & until grep -q up $LOG; do sleep 0.01; done; exit 3`, "exit code 3\n"},
		{"by SIGTERM", "had exited with 5, not reaped", false, "143", 0, `sh -c "sleep 0.3; exit 5" & export Z=$!
			bash -c 'until grep -q "^State:.Z" /proc/$Z/status; do sleep 0.01; done; echo up >>$LOG; exec sleep 600' & exec sleep 600`, "exit code 0\n"},
	} {
		flags := []string{"--grace", "25s"}
		if c.killed {
			flags[1] = "300ms"
		}
		if c.ok != "" {
			flags = append(flags, "--ok", c.ok)
		}
		r := asPID1(t, append(self(t, flags...), "--", "sh", "-c", "export STARTER=$$; "+c.script)...).start().says("up", 1)
		if c.command != fails {
			r.signal(syscall.SIGTERM)
		}
		code, _ := r.ends()
		row("%s\t%s\t%s\t%s\t%d", c.command, c.left, yes(c.killed), c.ok, code)
		name := fmt.Sprintf("command %s, what it has left %s, --ok %q: %s", c.command, c.left, c.ok, r.stderr.String())
		require.Equal(t, c.want, code, name)
		require.Contains(t, r.stderr.String(), c.says, name)
	}
}
