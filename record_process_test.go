//go:build unix

package shutdown_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testclock"
)

// These variables tell the children of these tests the path of the record, and the phase in
// which they stay.
const (
	recordEnv = "SHUTDOWN_TEST_RECORD"
	stayInEnv = "SHUTDOWN_TEST_STAY_IN"
)

func TestAKillInAnyPhaseIsReportedByTheNextStart(t *testing.T) {
	t.Parallel()
	for phase, waitsFor := range map[shutdown.Phase]string{
		shutdown.Running: "",
		shutdown.Leave:   `leave hook "stays"`,
		shutdown.Drain:   "GET /orders/17",
		shutdown.Close:   `close hook "stays"`,
		shutdown.Done:    "",
	} {
		t.Run(phase.String(), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "record")
			p := startRecording(t, "stays in a phase", path, phase.String())
			terminationLog := filepath.Join(p.cmd.Dir, "termination-log")
			p.out.await("ready")
			if phase != shutdown.Running {
				p.send(syscall.SIGTERM)
			}
			p.out.await("in " + phase.String())
			wantSummary := "^$"
			switch phase {
			case shutdown.Running:
			case shutdown.Done:
				wantSummary = "^shutdown: finished after "
			default:
				wantSummary = "^shutdown: in " + phase.String() + `, \S+ after signal SIGTERM, waiting for .*` + waitsFor
			}
			// Different goroutines write the record and the termination log.
			require.Eventually(t, func() bool {
				r, ok := readRecord(path)
				return ok && r.Phase == phase && staysIn(r, phase)
			}, patience, time.Millisecond)
			matches := regexp.MustCompile(wantSummary).Match
			require.Eventually(t, func() bool {
				summary, err := os.ReadFile(terminationLog)
				return err == nil && matches(summary)
			}, patience, time.Millisecond)
			p.send(syscall.SIGKILL)
			p.requireKilledBy(syscall.SIGKILL)
			killed := time.Now()

			summary, err := os.ReadFile(terminationLog)
			require.NoError(t, err)
			require.Regexp(t, wantSummary, string(summary))

			next := startRecording(t, "prints the last run", path, "")
			line := next.out.await("last run: ")
			next.requireExit(0)
			if phase == shutdown.Done {
				require.Equal(t, "last run: none\n", line)
				require.NotContains(t, next.log.String(), "last run")
				return
			}
			var last shutdown.Report
			require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "last run: ")), &last))
			require.Equal(t, phase, last.Phase)
			if phase == shutdown.Running {
				require.Contains(t, next.log.String(), "the last run was killed while running: out of memory")
				return
			}
			require.EqualError(t, last.Cause, "signal SIGTERM")
			require.WithinRange(t, last.Begun, p.begun.Add(-time.Second), killed.Add(time.Second))
			require.Less(t, last.Took, killed.Sub(p.begun)+time.Second)
			require.True(t, staysIn(last, phase))
			line = next.log.await("the last run was killed in " + phase.String())
			require.Regexp(t, `\d[mµ]?s after signal SIGTERM, waiting for `, line)
			require.Contains(t, strings.ReplaceAll(line, `\"`, `"`), waitsFor)
		})
	}
}

// staysIn reports whether r names what a child waits for in phase p.
func staysIn(r shutdown.Report, p shutdown.Phase) bool {
	if p == shutdown.Drain {
		return len(r.Unfinished) == 1 && r.Unfinished[0].Name == "GET /orders/17"
	}
	for _, s := range r.Steps {
		if s.Running && s.Phase == p && s.Name == "stays" {
			return true
		}
	}
	return p == shutdown.Running || p == shutdown.Done
}

func TestASecondProcessLeavesTheRecordOfTheFirstUnchanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	first := startRecording(t, "stays in a phase", path, "running")
	first.out.await("in running")
	require.Eventually(t, func() bool { _, ok := readRecord(path); return ok }, patience, time.Millisecond)
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	second := startRecording(t, "prints the last run", path, "")
	require.Equal(t, "last run: none\n", second.out.await("last run: "))
	second.requireExit(0)
	second.log.await("another instance uses it")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

func TestKillsAtRandomMomentsNeverLeaveAnUnreadableRecord(t *testing.T) {
	t.Parallel()
	for chain := range 4 { // 100 kills
		t.Run(fmt.Sprint(chain), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "record")
			written := func(since time.Time) bool {
				r, ok := readRecord(path)
				return ok && r.Phase == shutdown.Close && r.Begun.After(since)
			}
			more := testclock.Repetitions(t, time.Minute)
			for n, exists := 0, false; n < 25 && (n < 5 || more()); n++ {
				p := killSoon(t, "steps without a pause", path, written)
				require.NotContains(t, p.log.String(), "cannot be read")
				if _, err := os.Stat(path); !exists && errors.Is(err, os.ErrNotExist) {
					continue // killed before it wrote the first record
				}
				exists = true
				_, ok := readRecord(path)
				require.True(t, ok, "kill %d", n)
			}
		})
	}
}

// The control for the test above: a record that is overwritten in place is found half written.
func TestKillsLeaveUnreadableRecordsIfTheyAreOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	written := func(since time.Time) bool {
		r, ok := readRecord(path)
		_, err := os.Stat(path)
		return err == nil && (!ok || r.Phase == shutdown.Close && r.Begun.After(since))
	}
	for range 100 {
		killSoon(t, "steps without a pause, overwriting", path, written)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if _, ok := readRecord(path); !ok {
			next := startRecording(t, "prints the last run", path, "")
			require.Equal(t, "last run: none\n", next.out.await("last run: "))
			next.log.await("cannot be read")
			next.requireExit(0)
			return
		}
	}
	require.Fail(t, "every record could be read")
}

// killSoon starts a scenario and kills it: one in five during its start, the others while they
// write one record after another.
func killSoon(t *testing.T, scenario, path string, written func(since time.Time) bool) *process {
	t.Helper()
	started := time.Now()
	p := startRecording(t, scenario, path, "")
	if rand.IntN(5) > 0 { //nolint:gosec // no secret
		p.out.await("ready")
		require.Eventually(t, func() bool { return written(started) }, patience, time.Millisecond)
	}
	time.Sleep(time.Duration(rand.Int64N(int64(30 * time.Millisecond)))) //nolint:gosec // no secret
	p.send(syscall.SIGKILL)
	p.requireKilledBy(syscall.SIGKILL)
	return p
}

func startRecording(t *testing.T, scenario, path, stayIn string) *process {
	t.Helper()
	return start(t, scenario, func(cmd *exec.Cmd) {
		require.NoError(t, os.WriteFile(filepath.Join(cmd.Dir, "termination-log"), nil, 0o600)) // as the kubelet does
		cmd.Env = append(cmd.Env, recordEnv+"="+path, stayInEnv+"="+stayIn)
	})
}

// readRecord reads a record as any program can.
func readRecord(path string) (r shutdown.Report, ok bool) {
	text, err := os.ReadFile(path)
	file := struct{ Report *shutdown.Report }{&r}
	return r, err == nil && json.Unmarshal(text, &file) == nil
}

// The children.

func init() {
	maps.Copy(childScenarios, map[string]func(){
		"stays in a phase": func() {
			m := newRecordingManager(func(cfg shutdown.Config) (*shutdown.Manager, error) {
				return shutdown.NewInPod(cfg, "termination-log") // in a directory of this child's own
			})
			stayIn := os.Getenv(stayInEnv)
			for _, p := range []shutdown.Phase{shutdown.Leave, shutdown.Close} {
				m.On(p, "stays", func(context.Context) error {
					if p.String() == stayIn {
						say("in " + stayIn)
						sleepOn()
					}
					return nil
				})
			}
			m.On(shutdown.Drain, "server", func(context.Context) error {
				if stayIn == "drain" {
					say("in drain")
				}
				return nil
			})
			if stayIn == "drain" {
				_, _ = m.Track("GET /orders/17")
			}
			say("ready")
			if stayIn == "running" {
				say("in running")
			}
			_ = m.Wait()
			say("in done")
			sleepOn()
		},
		"prints the last run": func() {
			m := newRecordingManager(shutdown.New)
			shutdown.AwaitRecord(m)
			printLastRun(m)
			m.Begin(nil)
			exit(m)
		},
		"steps without a pause":              func() { stepWithoutPause(shutdown.New) },
		"steps without a pause, overwriting": func() { stepWithoutPause(shutdown.NewOverwriting) },
	})
}

// stepWithoutPause is a shutdown that changes its state faster than the record is written. It
// never ends.
func stepWithoutPause(newManager func(shutdown.Config) (*shutdown.Manager, error)) {
	m := newRecordingManager(newManager)
	steps := 0
	var step func(context.Context) error
	step = func(context.Context) error {
		time.Sleep(time.Millisecond)
		steps++
		m.On(shutdown.Close, fmt.Sprint("hook ", steps), step)
		return nil
	}
	for range 300 {
		m.On(shutdown.Close, "hook", step)
	}
	say("ready")
	m.Begin(nil)
	_ = m.Wait()
	sleepOn()
}

func newRecordingManager(newManager func(shutdown.Config) (*shutdown.Manager, error)) *shutdown.Manager {
	m, err := newManager(shutdown.Config{
		GracePeriod: time.Minute, Record: os.Getenv(recordEnv), Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		panic(err)
	}
	return m
}

func printLastRun(m *shutdown.Manager) {
	last, ok := m.LastRun()
	if !ok {
		say("last run: none")
		return
	}
	text, err := json.Marshal(last)
	if err != nil {
		panic(err)
	}
	say("last run: " + string(text))
}
