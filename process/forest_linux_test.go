//go:build !processgroup

package process_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

// trees are process trees that are hard to stop. Each prints "up" when it has, or
// soon has, at least members processes; members is 0 for one whose process changes
// too fast to be counted. After some time it forks no more.
var trees = []struct {
	name    string
	script  string
	members int
	stopped process.State
}{
	{"plain", `sleep 600 & sleep 600 & echo up; wait`, 3, process.Stopped},
	{"ignores TERM", `trap '' TERM; sleep 600 & sleep 600 & echo up; wait`, 3, process.Killed},
	{"13 in three generations", `for i in 1 2 3; do
		bash -c 'for i in 1 2 3; do sleep 600 & done; wait' &
	done; echo up; wait`, 13, process.Stopped},
	{"daemons in sessions of their own that ignore TERM", `for i in 1 2 3; do
		read -r < <(exec setsid bash -c 'trap "" TERM; echo here; while :; do sleep 600; done')
	done; echo up; sleep 600`, 7, process.Killed},
	{"orphans whose parents have gone", `for i in 1 2 3; do
		(setsid bash -c 'sleep 600 & sleep 600 &' &)
	done; echo up; sleep 600`, 7, process.Stopped},
	{"orphans whose root has gone", `for i in 1 2 3; do
		(trap "" TERM; setsid sleep 600 &)
	done; echo up`, 3, process.Killed},
	{"forks sessions while being stopped", `ulimit -u 2500; trap '' TERM
	echo up; for ((i = 0; i < 2000; i++)); do setsid sleep 600 & done; wait`, 20, process.Killed},
	{"changes its PID again and again", `ulimit -u 2500; trap '' TERM
	hop() { if (($1 == 3)); then echo up; fi; if ((SECONDS < ${LIFE:-3} && $1 < 50000)); then hop $(($1 + 1)) & else echo over; fi; }
	hop 0`, 0, process.Killed}, // up when there are others than the root
	{"1,000 that exit on TERM", `for ((i = 0; i < 999; i++)); do sleep 600 & done; echo up; wait`, 1000, process.Stopped},
	{"1,000 that ignore TERM", `trap '' TERM; for ((i = 0; i < 999; i++)); do sleep 600 & done; echo up; wait`, 1000, process.Killed},
	{"a chain of 100", `trap '' TERM
	link() { if (($1 < 99)); then link $(($1 + 1)) & wait; else echo up; sleep 600; fi; }
	link 0`, 100, process.Killed},
	{"stopped", `sleep 600 & kill -STOP $!; echo up; kill -STOP $$; sleep 600`, 2, process.Stopped},
}

func TestNothingOfATreeIsLeft(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "tree\tmembers before\tafter Stop\tzombies\tafter exec.CommandContext")
	for _, c := range trees {
		t.Run(c.name, func(t *testing.T) {
			left := aliveAfterCommandContext(t, c.script, c.members)

			o := process.Options{Grace: soon} // no process is to be killed
			if c.stopped == process.Killed {
				o.Grace = 200 * time.Millisecond
			}
			var (
				tree   *process.Tree
				m      mark
				before int
				err    error
			)
			for round := 1; round <= 10; round++ {
				cmd := unprivileged(shell(c.script))
				cmd.Env = append(os.Environ(), fmt.Sprintf("LIFE=%d", 3*(1+(round-1)%5))) // in the end longer than this machine needs
				m = marked(cmd)
				var out io.Reader
				tree, out = start(t, cmd, o)
				m.becomes(t, c.members)
				before = len(m.alive(t))
				var busy bool
				err, busy = unlessBusy(func() error { return tree.Stop(soonContext(t)) })
				if busy {
					kill(t, tree)
				} else if tree.State() == c.stopped || !strings.Contains(rest(t, out), "over\n") {
					break
				} // else it exited by itself before it could be killed
			}
			strayed, zombies := strays(t)
			after := max(len(m.alive(t)), strayed)
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", c.name, before, after, zombies, left)
			require.Zero(t, after)
			require.Zero(t, zombies)
			require.Equal(t, c.stopped, tree.State(), "%v", err)
			if c.stopped == process.Stopped {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, process.ErrKilled)
			}
			require.NotZero(t, left, "the control: exec.CommandContext has ended all processes, so this tree is not hard to stop")
		})
	}
	w.Flush()
	t.Log("\n" + table.String())
}

// aliveAfterCommandContext counts the processes that the standard library leaves.
func aliveAfterCommandContext(t *testing.T, script string, members int) int {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := unprivileged(exec.CommandContext(ctx, "bash", "-c", script))
	cmd.WaitDelay = time.Second
	m := marked(cmd)
	defer m.sweep(t)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	m.becomes(t, members)
	cancel()
	_ = cmd.Wait() // it was killed, or had exited
	strayed, zombies := strays(t)
	return max(len(m.alive(t)), strayed+zombies)
}
