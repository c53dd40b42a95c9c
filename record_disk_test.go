package shutdown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/postmortem"
)

func TestADiskThatHangsDelaysNothing(t *testing.T) {
	for _, what := range []string{"lock", "read", "write"} {
		path := filepath.Join(t.TempDir(), "record")
		synctest.Test(t, func(t *testing.T) {
			hang := make(chan struct{})
			e, d := recordEnv(nthRun(1))
			switch what {
			case "lock":
				e.postmortem.Disk.Lock = func(path string) (io.Closer, error) { <-hang; return postmortem.ProcessDisk.Lock(path) }
			case "read":
				e.postmortem.Disk.Read = func(path string) ([]byte, error) { <-hang; return postmortem.ProcessDisk.Read(path) }
			case "write":
				d.hang = hang
			}
			begun := time.Now()
			m, log := recording(t, path, e)
			require.Zero(t, time.Since(begun), "New waits for nothing")
			_, ok := m.LastRun()
			require.False(t, ok)
			require.LessOrEqual(t, time.Since(begun), postmortem.Patience)
			_, _ = m.LastRun()
			require.LessOrEqual(t, time.Since(begun), postmortem.Patience, "counted from New, and not each time")

			var closed time.Time
			m.On(Leave, "leave", func(context.Context) error { time.Sleep(2 * time.Second); return nil })
			m.On(Close, "close", func(context.Context) error { closed = time.Now(); return nil })
			begun = time.Now()
			m.Begin(nil)
			require.NoError(t, m.Wait())
			require.Equal(t, 2*time.Second, closed.Sub(begun))
			require.Zero(t, time.Since(closed), "the end does not wait for a disk that hangs already")
			require.Contains(t, log.String(), "the disk does not answer")
			require.Contains(t, log.String(), "the end could not be written in time")

			// The disk answers again, and the record is written.
			close(hang)
			settled(t, m)
			require.Equal(t, Done, readRecord(t, path).Report.Phase)
		})
	}
}

func TestADiskThatHangsDoesNotDelayAShutdownThatTimesOut(t *testing.T) {
	for name, from := range map[string]time.Duration{"from the start": 0, "at the end": 26900 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				defer close(hang)
				e, d := recordEnv(nthRun(1))
				m, log := recording(t, path, e)
				for _, p := range []Phase{Leave, Drain, Close} {
					m.On(p, "hangs", func(context.Context) error { <-hang; return nil })
				}
				begun := time.Now()
				m.Begin(nil)
				time.Sleep(from)
				settled(t, m)
				d.hangOn(hang)
				require.ErrorIs(t, m.Wait(), ErrTimeout)
				require.InDelta(t, 27*time.Second, time.Since(begun), float64(20*time.Millisecond))
				require.LessOrEqual(t, time.Since(begun), 27*time.Second)
				require.Contains(t, log.String(), "could not be written in time")
			})
		})
	}
}

func TestTheEndWaitsAMomentForASlowDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		e, d := recordEnv(nthRun(1))
		slow := make(chan struct{})
		m, _ := recording(t, path, e)
		m.On(Close, "close", func(context.Context) error { settled(t, m); d.hangOn(slow); return nil })
		m.Begin(nil)
		time.Sleep(200 * time.Millisecond)
		close(slow)
		require.NoError(t, m.Wait())
		require.Equal(t, Done, readRecord(t, path).Report.Phase, "otherwise the next start would report a kill")
	})
}

func TestAFullDiskIsAWarningAndLeavesNoRecordOfAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(1))
		m, _ := recording(t, path, e)
		settled(t, m)
		kill(t, m)

		// The last run is known, although this one cannot be recorded.
		e, d := recordEnv(nthRun(2))
		d.fail(syscall.ENOSPC)
		m, log := recording(t, path, e)
		last, ok := m.LastRun()
		require.True(t, ok)
		require.Equal(t, Running, last.Phase)
		for range 3 {
			m.On(Close, "close", func(context.Context) error { time.Sleep(2 * time.Second); return nil })
		}
		shutDown(t, m)
		require.Equal(t, 1, strings.Count(log.String(), "Config.Record: not written"), "logged once: %s", log)
		require.Contains(t, log.String(), syscall.ENOSPC.Error())
		require.NoFileExists(t, path, "the record of run 1 would be reported again")

		// The disk fills up during the shutdown. The last record that was written would say
		// that the run was killed.
		e, d = recordEnv(nthRun(3))
		m, _ = recording(t, path, e)
		_, ok = m.LastRun()
		require.False(t, ok)
		m.On(Close, "close", func(context.Context) error {
			settled(t, m)
			require.Equal(t, Close, readRecord(t, path).Report.Phase)
			d.fail(syscall.ENOSPC)
			return nil
		})
		shutDown(t, m)
		require.NoFileExists(t, path)
	})
}

// A record that is too long could not be read by the next start, and would never be replaced.
func TestARecordCanBeReadHoweverLongNamesAndErrorsAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	long := strings.Repeat("<", 64<<10) // six bytes each in JSON
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(1))
		m, _ := recording(t, path, e)
		for i := range 3000 {
			m.On(Close, fmt.Sprint(i, long[:1<<10]), func(context.Context) error { return errors.New(long[:1<<10]) })
		}
		m.On(Leave, "leave "+long, func(context.Context) error { return errors.New(long) })
		for i := range 2 * recordTasks {
			done, _ := m.Track(fmt.Sprint(i, " ", long))
			defer done()
			time.Sleep(time.Millisecond)
		}
		m.Begin(errors.New("cause " + long))
		time.Sleep(3500 * time.Millisecond)
		kill(t, m)
		require.Error(t, m.Wait())
	})
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(postmortem.MaxRecord))
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(2))
		m, log := recording(t, path, e)
		last, ok := m.LastRun()
		require.True(t, ok)
		require.Equal(t, Drain, last.Phase)
		require.ErrorContains(t, last.Cause, "cause <<<")
		require.True(t, strings.HasPrefix(last.Steps[1].Name, "leave <<<"))
		require.True(t, strings.HasPrefix(last.Unfinished[0].Name, "0 <<<"))
		require.True(t, strings.HasPrefix(last.Pending[0].Name, "2999<<<"))
		shutDown(t, m)
		require.Contains(t, log.String(), "the last run was killed in drain")
		require.NotContains(t, log.String(), "not written")
	})
}

func TestTheRecordIsWrittenIfAnErrorPanicsWhenPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	e, _ := recordEnv(nthRun(1))
	m, _ := recording(t, path, e)
	m.On(Close, "broken", func(context.Context) error { return (*unprintable)(nil) })
	m.Begin(nil)
	require.Error(t, m.Wait())
	settled(t, m)
	require.Equal(t, Done, readRecord(t, path).Report.Phase)
}

type unprintable struct{ text string }

func (e *unprintable) Error() string { return e.text }
