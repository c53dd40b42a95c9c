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
	if signal.Ignored(unix.SIGHUP) { // nohup: the tests' children would inherit it
		signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// What a Reaper does is tested by package process, which has one.

// sleeper is a child of ours with a name of its own.
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

func find(t *testing.T, pid int) (Member, bool) {
	t.Helper()
	members, err := Below(os.Getpid())
	require.NoError(t, err)
	for _, m := range members {
		if m.Pid == pid {
			return m, true
		}
	}
	return Member{}, false
}

func TestAProcessNameCannotForgeAStatus(t *testing.T) {
	cmd := sleeper(t, "a) Z 1 1 (b")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	require.Equal(t, os.Getpid(), m.Parent)
	require.Equal(t, unix.Getpgrp(), m.Group)
	require.True(t, m.alive())
	require.Less(t, m.Age().Minutes(), 1.0)
	// exec tells its parent before it has a command line.
	require.Eventually(t, func() bool { return strings.Contains(m.Command(), "600") }, 50*time.Second, time.Millisecond)
}

// Else it would be another one in the next picture, and have the signal again.
func TestAProcessThatIsNotHiddenKeepsItsIdentity(t *testing.T) {
	cmd := sleeper(t, "late")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	pids := make(map[int]identity)
	for _, h := range hidden(nil) {
		pids[h.Pid] = h.identity()
	}
	require.Equal(t, m.identity(), pids[m.Pid])
	require.Empty(t, hidden([]Member{m}), "who is in the picture")
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool { return len(hidden(nil)) == 0 }, 10*time.Second, time.Millisecond, "who has ended")
}

func TestAReusedPidIsNotSignalled(t *testing.T) {
	cmd := sleeper(t, "sleeper")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	m.Parent = 1 // deeper than a child of ours, whose pid cannot come back
	earlier := m
	earlier.Start--
	require.NoError(t, send(earlier, unix.SIGKILL), "it has ended, which is no error")
	require.NoError(t, cmd.Process.Signal(unix.Signal(0)))
	require.NoError(t, send(m, unix.SIGTERM))
	require.EqualError(t, cmd.Wait(), "signal: terminated", "the first signal that it was sent")
	require.NoError(t, send(m, unix.SIGKILL))
}

func TestTheSignalsThatAProcessCatchesAreKnown(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap : HUP TERM; echo up; read -r word`)
	in, err := cmd.StdinPipe() // nothing comes
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
	require.Equal(t, "[sh]", m.Name())
	for sig, want := range map[unix.Signal]bool{unix.SIGHUP: true, unix.SIGTERM: true, unix.SIGUSR1: false, unix.SIGUSR2: false, 40: true} {
		require.Equal(t, want, m.handles(sig), sig)
	}
}

// What its parent has caught, it still catches, and would lose.
func TestAProcessThatWasJustForkedGetsTheSignalLater(t *testing.T) {
	const term = 1 << (unix.SIGTERM - 1)
	newborn := Member{Pid: 1 << 30, Start: now(), State: 'R', caught: term, forked: true} // no system has so high a pid
	// The first thread of a process that has only just begun may not have waited yet.
	require.Eventually(t, Member{Pid: os.Getpid()}.hasWaited, 50*time.Second, time.Millisecond)
	for _, c := range []struct {
		change func(*Member)
		want   bool
	}{
		{func(*Member) {}, true},
		{func(m *Member) { m.caught = 0 }, false},
		{func(m *Member) { m.forked = false }, false},
		{func(m *Member) { m.State = 'S' }, false},
		{func(m *Member) { m.Pid = os.Getpid() }, false}, // which has waited
		{func(m *Member) { m.Start -= uint64(newbornBound.Seconds()) * ticksPerSecond }, false},
	} {
		// Where this process did not run for that long, it is none any more.
		for try := 1; ; try++ {
			newborn.Start = now()
			m := newborn
			c.change(&m)
			if m.isNewborn(unix.SIGTERM) == c.want {
				break
			}
			require.Less(t, try, 10, m)
		}
	}

	// It is told when it has executed its program, also if it was forked in the
	// very moment in which its parent, which goes on, had the signal.
	for name, group := range map[string]int{"outside the group": 8, "in the group": 7} {
		t.Run(name, func(t *testing.T) {
			r := New(0, func(Event) {})
			r.phase, r.signal, r.showsCaught = Stopping, unix.SIGTERM, true
			r.deadline = time.Now().Add(time.Hour)
			m := newborn
			m.Group, m.Start, m.Parent = group, now()+100*ticksPerSecond, m.Pid-1 // it is one for long
			require.True(t, r.signalPass([]Member{m}), "there is somebody to come back to")
			require.Empty(t, r.signalled)
			r.group, r.groupAt = 7, m.Start // as if there were such a group
			r.had(Member{Pid: m.Parent}, m.Start)
			require.True(t, r.signalPass([]Member{m}))
			require.NotContains(t, r.signalled, m.identity())
			settled := m
			settled.State = 'S' // with a handler of its own
			require.Equal(t, group == 8, r.isDue(settled, false))
			m.caught, m.forked = 0, false
			require.False(t, r.signalPass([]Member{m}))
			require.Contains(t, r.signalled, m.identity())
			require.Empty(t, r.owed)
		})
	}

	r := New(0, func(Event) {})
	r.phase, r.signal, r.showsCaught = Stopping, unix.SIGTERM, true
	r.deadline = time.Now().Add(newbornBound / 2)
	newborn.Start = now()
	require.False(t, r.signalPass([]Member{newborn}))
	require.Contains(t, r.signalled, newborn.identity(), "it would be killed before")
}

func TestAProcessForkedDuringTheFirstPassGetsTheSignalInASecondPass(t *testing.T) {
	r := New(0, func(Event) {})
	r.stop(unix.SIGTERM, time.Hour, false)
	late := sleeper(t, "late") // as if it had been forked after the look at its parent
	require.False(t, r.nextPass.IsZero(), "a second pass is due")
	r.pass(false)
	m, ok := find(t, late.Process.Pid)
	require.True(t, ok)
	require.Contains(t, r.signalled, m.identity())
	timer := time.AfterFunc(50*time.Second, func() { _ = late.Process.Kill() })
	defer timer.Stop()
	require.EqualError(t, late.Wait(), "signal: terminated")
}

// It would have the signal when somebody continues it.
func TestAProcessThatIsStoppedBeforeTheSignalArrivesIsContinued(t *testing.T) {
	cmd := sleeper(t, "sleeper")
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	require.NoError(t, cmd.Process.Signal(unix.SIGSTOP))
	var stopped Member
	require.Eventually(t, func() bool {
		stopped, ok = find(t, m.Pid)
		return ok && stopped.State == 'T'
	}, 50*time.Second, time.Millisecond)
	r := New(m.Pid, func(Event) {})
	r.phase, r.signal = Stopping, unix.SIGTERM
	require.False(t, stopped.pends(unix.SIGTERM))
	r.signalPass([]Member{m}) // as it was before
	require.True(t, stopped.pends(unix.SIGTERM))
	require.False(t, stopped.pends(unix.SIGHUP))
	r.signalPass([]Member{stopped})
	timer := time.AfterFunc(50*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	require.EqualError(t, cmd.Wait(), "signal: terminated")
}

// It may be that a machine needs all the time for one look.
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
	require.True(t, r.gaveUp, "nobody new was found")

	r.gaveUp, r.deadline, r.nextPass = false, time.Now().Add(-5*time.Second), time.Now().Add(-10*time.Second)
	m, ok := find(t, sleeper(t, "one more").Process.Pid)
	require.True(t, ok)
	r.killed[m.identity()] = true
	r.pass(false)
	require.False(t, r.gaveUp, "this process was frozen")

	r = New(0, func(Event) {})
	r.phase, r.lastDeadline = Killed, time.Now()
	sleeper(t, "another")
	r.pass(false)
	require.True(t, r.gaveUp, "there is an end to it")
}

// It was forked when its group got the signal, and its parent has ended.
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
		m := Member{Pid: 9, Parent: os.Getpid(), Group: 7, Start: 1000, State: 'S', caught: c.caught}
		require.Equal(t, c.due, r.isDue(m, false), c)
	}
}

func TestACommandIsOneLine(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read -r word # \n\t\x1b[31m a comment that is longer than a line of the log ought to be, and goes on and on")
	in, err := cmd.StdinPipe() // nothing comes
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // by our signal
	}()
	m, ok := find(t, cmd.Process.Pid)
	require.True(t, ok)
	command := m.Command()
	require.LessOrEqual(t, len(command), 80)
	require.NotContains(t, command, "\n")
	require.NotContains(t, command, "\x1b")
}
