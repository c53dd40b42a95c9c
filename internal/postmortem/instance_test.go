package postmortem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/postmortem"
)

// A report is what is recorded here. One with another phase than these cannot be read.
type report struct {
	Phase string `json:"phase"`
}

const (
	running = "running"
	drain   = "drain"
	done    = "done"
)

func (r *report) UnmarshalJSON(text []byte) error {
	var fields map[string]string
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	switch r.Phase = fields["phase"]; r.Phase {
	case running, drain, done:
		return nil
	}
	return fmt.Errorf("unknown phase %q", r.Phase)
}

// A found record is one that Killed was called with.
type found struct {
	last     postmortem.File[report]
	sameBoot bool
}

// An instance is a process that keeps a record.
type instance struct {
	*postmortem.Record[report]

	mu       sync.Mutex // protects what follows
	phase    string
	killed   []found
	warnings []string
	tries    int // to take the lock
	writes   int
	full     error       // what Write returns; nil while there is space
	locks    []io.Closer // those that it has taken
	dead     bool        // it writes nothing any more
}

// aRun is a process in a container, the nth there.
func aRun(n int) postmortem.Run {
	return postmortem.Run{Host: "orders-0", BootID: "boot", PID: 1, Start: uint64(1000 * n)} //nolint:gosec // small
}

// start starts the instance that me is. No other one is alive, unless change says so.
func start(path string, me postmortem.Run, change ...func(*postmortem.Env)) *instance {
	i := &instance{phase: running}
	e := postmortem.Env{
		Self:  func() postmortem.Run { return me },
		Alive: func(postmortem.Run) bool { return false },
		Disk:  postmortem.ProcessDisk,
	}
	for _, f := range change {
		f(&e)
	}
	disk := e.Disk
	e.Disk.Lock = func(path string) (io.Closer, error) {
		l, err := disk.Lock(path)
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.tries++; err == nil {
			i.locks = append(i.locks, l)
		}
		return l, err
	}
	e.Disk.Write = func(path string, text []byte) error {
		i.mu.Lock()
		i.writes++
		full, dead := i.full, i.dead
		i.mu.Unlock()
		if full != nil || dead {
			return full
		}
		return disk.Write(path, text)
	}
	i.Record = postmortem.NewRecord(postmortem.Config[report]{
		Path: path, Started: time.Now(),
		State: func() postmortem.State[report] {
			i.mu.Lock()
			defer i.mu.Unlock()
			return postmortem.State[report]{Report: report{i.phase}, InFlight: 7, CutOff: 3, Running: i.phase == running, Ended: i.phase == done}
		},
		Ended: func(last report) bool { return last.Phase == done },
		Killed: func(last postmortem.File[report], sameBoot bool) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.killed = append(i.killed, found{last, sameBoot})
		},
		Warn: i.warn,
	}, e)
	return i
}

func (i *instance) warn(msg string, args ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.warnings = append(i.warnings, fmt.Sprintln(append([]any{msg}, args...)...))
}

func (i *instance) warned() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return strings.Join(i.warnings, "")
}

// settle returns when everything is saved. In a bubble time stands still meanwhile.
func (i *instance) settle(t *testing.T) {
	t.Helper()
	const patience = 30 * time.Second
	for began := time.Now(); i.Saving(); time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(began), patience)
	}
}

// enter changes the phase, and returns when that is saved.
func (i *instance) enter(t *testing.T, phase string) {
	t.Helper()
	i.mu.Lock()
	i.phase = phase
	i.mu.Unlock()
	i.Touch()
	i.settle(t)
}

func (i *instance) end(t *testing.T) {
	t.Helper()
	i.enter(t, done)
	require.True(t, i.Flush(time.Now().Add(time.Minute)))
}

// die is the death of the process: it writes nothing any more, and the kernel releases
// its lock.
func (i *instance) die(t *testing.T) {
	t.Helper()
	i.settle(t)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dead = true
	for _, l := range i.locks {
		l.Close()
	}
}

func (i *instance) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.full = err
}

func (i *instance) counts() (tries, writes int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.tries, i.writes
}

func readRecord(t *testing.T, path string) (r postmortem.File[report]) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r), "%s", text)
	return r
}

var errFull = errors.New("no space left on device")
