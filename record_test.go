package shutdown

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/postmortem"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// A fakeDisk is a disk that fails or hangs.
type fakeDisk struct {
	postmortem.Disk
	mu     sync.Mutex
	writes int
	hang   chan struct{} // write waits until it is closed
	err    error         // of write
	locks  []io.Closer
	dead   bool // the process has been killed: it writes nothing any more
}

// exited is a path. To lock it stands for the exit of the process, when the kernel releases its
// locks.
const exited = "\x00"

func (d *fakeDisk) lock(path string) (io.Closer, error) {
	if path == exited {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.dead = true
		for _, l := range d.locks {
			l.Close()
		}
		return nil, nil //nolint:nilnil // not used
	}
	l, err := d.Lock(path)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.locks = append(d.locks, l)
	}
	return l, err
}

func (d *fakeDisk) write(path string, text []byte) error {
	d.mu.Lock()
	d.writes++
	err, hang, dead := d.err, d.hang, d.dead
	d.mu.Unlock()
	if dead {
		return nil
	}
	if hang != nil {
		<-hang
	}
	if err != nil {
		return err
	}
	return d.Write(path, text)
}

func (d *fakeDisk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

func (d *fakeDisk) hangOn(c chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hang = c
}

func (d *fakeDisk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// nthRun identifies the nth process of a container.
func nthRun(n int) postmortem.Run {
	return postmortem.Run{Host: "orders-0", BootID: "boot", PID: 1, Start: uint64(1000 * n)}
} //nolint:gosec // small

// recordEnv returns the environment of a run, and its disk.
func recordEnv(me postmortem.Run) (env, *fakeDisk) {
	e, d := fakeEnv(), &fakeDisk{Disk: postmortem.ProcessDisk}
	e.postmortem.Self = func() postmortem.Run { return me }
	e.postmortem.Alive = func(postmortem.Run) bool { return false }
	e.postmortem.Disk = postmortem.Disk{Lock: d.lock, Read: d.Read, Write: d.write}
	return e, d
}

func recording(t *testing.T, path string, e env) (*Manager, *testlog.Buffer) {
	t.Helper()
	log := &testlog.Buffer{}
	m, err := newManager(Config{
		GracePeriod: 30 * time.Second, LameDuck: -1, Record: path,
		Signals: map[os.Signal]Action{}, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}, e)
	require.NoError(t, err)
	return m, log
}

// settled waits until m has written its files and its log. In a synctest bubble time does not
// advance meanwhile.
func settled(t *testing.T, m *Manager) {
	t.Helper()
	const patience = 30 * time.Second
	for begun := time.Now(); m.message.Saving() || m.record != nil && m.record.Saving(); time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(begun), patience)
	}
	m.log.Flush(patience)
}

func shutDown(t *testing.T, m *Manager) {
	t.Helper()
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

// kill stands for a SIGKILL: m writes nothing any more, and its lock is released.
func kill(t *testing.T, m *Manager) {
	t.Helper()
	settled(t, m)
	_, err := m.env.postmortem.Disk.Lock(exited)
	require.NoError(t, err)
}

func readRecord(t *testing.T, path string) (r postmortem.File[Report]) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r), "%s", text)
	return r
}

func TestTheNextRunKnowsWhereTheLastWasKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	var before Report
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(1))
		m, _ := recording(t, path, e)
		last, killed := m.LastRun()
		require.False(t, killed)
		require.Equal(t, Report{}, last, "there was none")
		time.Sleep(time.Minute)
		done, ok := m.Track("GET /orders/17")
		require.True(t, ok)
		m.Signal(syscall.SIGTERM)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		kill(t, m)
		before = m.Report()
		done()
		require.ErrorIs(t, m.Wait(), ErrTimeout, "it was cut off before it ended")
	})
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(2))
		m, log := recording(t, path, e)
		last, ok := m.LastRun()
		require.True(t, ok)
		require.Equal(t, Drain, last.Phase)
		require.EqualError(t, last.Cause, "signal SIGTERM")
		require.True(t, before.Begun.Equal(last.Begun))
		require.GreaterOrEqual(t, last.Took, 19*time.Second)
		require.Len(t, last.Unfinished, 1)
		require.Equal(t, "GET /orders/17", last.Unfinished[0].Name)
		settled(t, m)
		require.Contains(t, log.String(), "the last run was killed in drain, 20s after signal SIGTERM, waiting for GET /orders/17 (20s)")
		require.NotContains(t, log.String(), "restarted")

		shutDown(t, m)
	})
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(3))
		m, _ := recording(t, path, e)
		last, killed := m.LastRun()
		require.False(t, killed, "the last run ended; the run before it does not matter")
		require.Equal(t, Done, last.Phase)
		require.Equal(t, "finished", last.Result())
		shutDown(t, m)
	})
}

func TestNothingIsWrittenBetweenTheStartAndTheShutdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		e, d := recordEnv(nthRun(1))
		m, _ := recording(t, path, e)
		settled(t, m)
		first, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Less(t, len(first), 1024, "one small file")
		for range 100 {
			m.On(Close, "hook", func(context.Context) error { return nil })
			done, _ := m.Track("task")
			time.Sleep(time.Minute)
			done()
		}
		settled(t, m)
		require.Equal(t, 1, d.count())
		shutDown(t, m)
		require.Greater(t, d.count(), 1)
		require.Equal(t, Done, readRecord(t, path).Report.Phase)
	})
}

func TestTheRecordIsWrittenAtEveryStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(1))
		m, _ := recording(t, path, e)
		check := func(want Phase) func(context.Context) error {
			return func(context.Context) error {
				settled(t, m)
				r := readRecord(t, path).Report
				require.Equal(t, want, r.Phase)
				require.True(t, slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Running && s.Name == want.String()+" hook" }))
				return nil
			}
		}
		for _, p := range []Phase{Leave, Drain, Close} {
			m.On(p, p.String()+" hook", check(p))
		}
		m.On(Close, "broken", func(context.Context) error { return errors.New("broken") })
		m.On(Drain, "forces", func(context.Context) error {
			m.Force(errors.New("enough"))
			settled(t, m)
			require.ErrorContains(t, readRecord(t, path).Report.Forced, "enough")
			return nil
		})
		m.Begin(nil)
		require.ErrorIs(t, m.Wait(), ErrForced)
		r := readRecord(t, path).Report
		require.Equal(t, Done, r.Phase)
		require.ErrorContains(t, r.Steps[len(r.Steps)-2].Err, "broken")
	})
}

// The hook is registered when nothing else happens and no second is full.
func TestTheRecordNamesAHookRegisteredDuringTheShutdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(1))
		m, _ := recording(t, path, e)
		done, _ := m.Track("task")
		m.Begin(nil)
		time.Sleep(3500 * time.Millisecond)
		settled(t, m)
		release := make(chan struct{})
		m.On(Drain, "late", func(context.Context) error { <-release; return nil })
		settled(t, m)
		r := readRecord(t, path).Report
		require.Equal(t, "late", r.Steps[len(r.Steps)-1].Name)
		require.True(t, r.Steps[len(r.Steps)-1].Running)
		close(release)
		done()
		require.NoError(t, m.Wait())
	})
}

func TestTheLogSaysWhereTheLastRunWasKilled(t *testing.T) {
	me := nthRun(2)
	rebooted, reused := nthRun(1), me
	rebooted.BootID = "another boot"
	reused.Start = 17
	for name, test := range map[string]struct {
		old   postmortem.Run
		phase Phase
		says  string // "" for nothing
	}{
		"killed":                  {nthRun(1), Close, "killed in close"},
		"killed, also with pid 1": {reused, Running, "killed while running: out of memory"},
		"killed, then a reboot":   {rebooted, Leave, "the machine has been restarted"},
		"ended":                   {nthRun(1), Done, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			text, err := json.Marshal(postmortem.File[Report]{Format: postmortem.Format, Run: test.old, Report: Report{Phase: test.phase}})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, text, 0o600))
			synctest.Test(t, func(t *testing.T) {
				e, _ := recordEnv(me)
				m, log := recording(t, path, e)
				last, ok := m.LastRun()
				require.Equal(t, test.says != "", ok)
				if ok {
					require.Equal(t, test.phase, last.Phase)
				}
				settled(t, m)
				if test.says == "" {
					require.Empty(t, log.String())
				}
				require.Contains(t, log.String(), test.says)
				require.Equal(t, name == "killed, then a reboot", strings.Contains(log.String(), "restarted"))
				shutDown(t, m)
			})
		})
	}
}

func TestTheRecordNamesOnlyTheOldestTasks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(1))
		m, _ := recording(t, path, e)
		settled(t, m)
		var all []func()
		for i := range recordTasks + 44 {
			done, _ := m.Track(fmt.Sprintf("task %d", i))
			all = append(all, done)
			time.Sleep(time.Millisecond)
		}
		m.Begin(nil)
		time.Sleep(5500 * time.Millisecond)
		settled(t, m)
		r := readRecord(t, path)
		require.Len(t, r.Report.Unfinished, recordTasks)
		require.Equal(t, "task 0", r.Report.Unfinished[0].Name)
		require.Equal(t, recordTasks+44, r.InFlight)
		for _, done := range all {
			done()
		}
		require.NoError(t, m.Wait())
	})
}
