package reaper

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

func TestMain(m *testing.M) {
	if signal.Ignored(unix.SIGHUP) { // under nohup the tests' children would inherit that
		signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// The tests of package process test what a Reaper does.

// sleeper starts a child of this process whose program has this name.
func sleeper(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	text, err := os.ReadFile(sleep)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, text, 0o755))
	cmd := exec.Command(path, "600")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // by our signal
	})
	return cmd
}

func find(t *testing.T, pid int) (member, bool) {
	t.Helper()
	members, err := descendants(os.Getpid())
	require.NoError(t, err)
	for _, m := range members {
		if m.pid == pid {
			return m, true
		}
	}
	return member{}, false
}

func TestAProcessNameCannotForgeAStatus(t *testing.T) {
	cmd := sleeper(t, "a) Z 1 1 (b")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	require.Equal(t, os.Getpid(), m.parent)
	require.Equal(t, unix.Getpgrp(), m.group)
	require.True(t, m.alive())
	require.Less(t, m.age().Minutes(), 1.0)
	// Start returns before the child has a command line.
	require.Eventually(t, func() bool { return strings.Contains(m.commandLine(), "600") }, 50*time.Second, time.Millisecond)
}

// If it did not, it would get the signal again when it is found by descendants.
func TestAProcessThatIsNotHiddenKeepsItsIdentity(t *testing.T) {
	cmd := sleeper(t, "late")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	pids := make(map[int]identity)
	for _, h := range hidden(nil) {
		pids[h.pid] = h.identity()
	}
	require.Equal(t, m.identity(), pids[m.pid])
	require.Empty(t, hidden([]member{m}), "it is in the list")
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool { return len(hidden(nil)) == 0 }, 10*time.Second, time.Millisecond, "it has exited")
}

func TestAReusedPidIsNotSignalled(t *testing.T) {
	cmd := sleeper(t, "sleeper")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	m.parent = 1 // as if it were no child of this process: a child's PID cannot be reused
	earlier := m
	earlier.start--
	require.NoError(t, send(earlier, unix.SIGKILL), "it has exited, which is no error")
	require.NoError(t, cmd.Process.Signal(unix.Signal(0)))
	require.NoError(t, send(m, unix.SIGTERM))
	require.EqualError(t, cmd.Wait(), "signal: terminated", "the first signal that it got")
	require.NoError(t, send(m, unix.SIGKILL))
}

func TestTheSignalsThatAProcessCatchesAreKnown(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap : HUP TERM; echo up; read -r word`)
	in, err := cmd.StdinPipe() // never written
	require.NoError(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // by our signal
	}()
	_, err = out.Read(make([]byte, 3))
	require.NoError(t, err)
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	require.Equal(t, "[sh]", m.shortName())
	for sig, want := range map[unix.Signal]bool{unix.SIGHUP: true, unix.SIGTERM: true, unix.SIGUSR1: false, unix.SIGUSR2: false, 40: true} {
		require.Equal(t, want, m.handles(sig), sig)
	}
}

// It still has its parent's handlers, which would lose the signal.
func TestAProcessThatWasJustForkedGetsTheSignalLater(t *testing.T) {
	const term = 1 << (unix.SIGTERM - 1)
	newborn := member{pid: 1 << 30, start: now(), state: 'R', caught: term, forked: true} // no system has so high a PID
	// The first thread of a process that was just started may not have waited yet.
	require.Eventually(t, member{pid: os.Getpid()}.hasWaited, 50*time.Second, time.Millisecond)
	for _, c := range []struct {
		change func(*member)
		want   bool
	}{
		{func(*member) {}, true},
		{func(m *member) { m.caught = 0 }, false},
		{func(m *member) { m.forked = false }, false},
		{func(m *member) { m.state = 'S' }, false},
		{func(m *member) { m.pid = os.Getpid() }, false}, // which has waited
		{func(m *member) { m.start -= uint64(newbornBound.Seconds()) * ticksPerSecond }, false},
	} {
		// If this process is not scheduled for long enough, the member becomes too old.
		for try := 1; ; try++ {
			newborn.start = now()
			m := newborn
			c.change(&m)
			if m.isNewborn(unix.SIGTERM) == c.want {
				break
			}
			require.Less(t, try, 10, m)
		}
	}

	// It gets the signal when it has executed its program, even if it was forked at
	// the moment at which its parent, which goes on running, got the signal.
	for name, group := range map[string]int{"outside the group": 8, "in the group": 7} {
		t.Run(name, func(t *testing.T) {
			r := New(0, func(Event) {})
			r.phase, r.signal, r.showsCaught = Stopping, unix.SIGTERM, true
			r.deadline = time.Now().Add(time.Hour)
			m := newborn
			m.group, m.start, m.parent = group, now()+100*ticksPerSecond, m.pid-1 // it stays a newborn for long
			require.True(t, r.signalPass([]member{m}), "it gets the signal in a later pass")
			require.Empty(t, r.signalled)
			r.group, r.groupAt = 7, m.start // as if the group had got the signal
			r.had(member{pid: m.parent}, m.start)
			require.True(t, r.signalPass([]member{m}))
			require.NotContains(t, r.signalled, m.identity())
			settled := m
			settled.state = 'S' // with a handler of its own
			require.Equal(t, group == 8, r.isDue(settled, false))
			m.caught, m.forked = 0, false
			require.False(t, r.signalPass([]member{m}))
			require.Contains(t, r.signalled, m.identity())
			require.Empty(t, r.owed)
		})
	}

	r := New(0, func(Event) {})
	r.phase, r.signal, r.showsCaught = Stopping, unix.SIGTERM, true
	r.deadline = time.Now().Add(newbornBound / 2)
	newborn.start = now()
	require.False(t, r.signalPass([]member{newborn}))
	require.Contains(t, r.signalled, newborn.identity(), "it would be killed before it has its own handlers")
}

func TestAProcessForkedDuringTheFirstPassGetsTheSignalInASecondPass(t *testing.T) {
	r := New(0, func(Event) {})
	r.stop(unix.SIGTERM, time.Hour, false)
	late := sleeper(t, "late") // as if it had been forked after the first pass had read its parent
	require.False(t, r.nextPass.IsZero(), "a second pass is due")
	r.pass(false)
	m, ok := find(t, late.Process.Pid)
	require.True(t, ok)
	require.Contains(t, r.signalled, m.identity())
	timer := time.AfterFunc(50*time.Second, func() { _ = late.Process.Kill() })
	defer timer.Stop()
	require.EqualError(t, late.Wait(), "signal: terminated")
}

// A stopped process gets the signal only when it is continued.
func TestAProcessThatIsStoppedBeforeTheSignalArrivesIsContinued(t *testing.T) {
	cmd := sleeper(t, "sleeper")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	require.NoError(t, cmd.Process.Signal(unix.SIGSTOP))
	var stopped member
	require.Eventually(t, func() bool {
		stopped, ok = find(t, m.pid)
		return ok && stopped.state == 'T'
	}, 50*time.Second, time.Millisecond)
	r := New(m.pid, func(Event) {})
	r.phase, r.signal = Stopping, unix.SIGTERM
	require.False(t, stopped.pends(unix.SIGTERM))
	r.signalPass([]member{m}) // the state from before SIGSTOP
	require.True(t, stopped.pends(unix.SIGTERM))
	require.False(t, stopped.pends(unix.SIGHUP))
	r.signalPass([]member{stopped})
	timer := time.AfterFunc(50*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	require.EqualError(t, cmd.Wait(), "signal: terminated")
}

// On a busy machine one pass may take all of killBound.
func TestTheReaperDoesNotGiveUpOnProcessesThatItHasJustKilled(t *testing.T) {
	cmd := sleeper(t, "sleeper")
	r := New(cmd.Process.Pid, func(Event) {})
	r.phase, r.deadline, r.lastDeadline = Killed, time.Now(), time.Now().Add(time.Hour)
	r.pass(false)
	require.False(t, r.gaveUp)
	require.Greater(t, r.deadline, r.lastPass)
	require.Error(t, cmd.Wait(), "by the signal")
	r.deadline = time.Now()
	r.pass(false)
	require.True(t, r.gaveUp, "no new member was found")

	r.gaveUp, r.deadline, r.nextPass = false, time.Now().Add(-5*time.Second), time.Now().Add(-10*time.Second)
	m, ok := find(t, sleeper(t, "one more").Process.Pid)
	require.True(t, ok)
	r.killed[m.identity()] = true
	r.pass(false)
	require.False(t, r.gaveUp, "this process was not scheduled")

	r = New(0, func(Event) {})
	r.phase, r.lastDeadline = Killed, time.Now()
	sleeper(t, "another")
	r.pass(false)
	require.True(t, r.gaveUp, "lastDeadline has passed")
}

// It was forked when its group got the signal, and its parent has exited.
func TestAProcessThatMayHaveHadTheSignalDoesNotGetItAgain(t *testing.T) {
	require.True(t, showsCaught())
	const term = 1 << (unix.SIGTERM - 1)
	for _, c := range []struct {
		caught uint64
		shows  bool
		due    bool
	}{{0, true, true}, {term, true, false}, {0, false, false}} {
		r := New(7, nil)
		r.signal, r.group, r.groupAt, r.showsCaught = unix.SIGTERM, 7, 1000, c.shows
		m := member{pid: 9, parent: os.Getpid(), group: 7, start: 1000, state: 'S', caught: c.caught}
		require.Equal(t, c.due, r.isDue(m, false), c)
	}
}

func TestACommandIsOneLine(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read -r word # \n\t\x1b[31m a comment that is longer than a line of the log ought to be, and goes on and on")
	in, err := cmd.StdinPipe() // never written
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // by our signal
	}()
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	command := m.commandLine()
	require.LessOrEqual(t, len(command), 80)
	require.NotContains(t, command, "\n")
	require.NotContains(t, command, "\x1b")
}
