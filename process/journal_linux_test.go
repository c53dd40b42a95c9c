//go:build !processgroup

package process_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

// A journal keeps the lines of a log.
type journal struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	wrong []string // attributes of a kind that no log line may have
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Split(strings.TrimSpace(j.buf.String()), "\n")
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{ReplaceAttr: j.check}))
}

// check records an attribute that is not a string, bool, integer, time, or number
// of seconds.
func (j *journal) check(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString, slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindTime:
		return a
	case slog.KindFloat64:
		if strings.HasSuffix(a.Key, "_seconds") {
			return a
		}
	case slog.KindAny:
		if a.Key == slog.LevelKey && len(groups) == 0 {
			return a
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wrong = append(j.wrong, fmt.Sprintf("%s is a %v", a.Key, a.Value.Kind()))
	return a
}

func (j *journal) mistakes() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.wrong)
}

func TestEveryStepIsLogged(t *testing.T) {
	var j journal
	tree, _ := start(t, shell(`trap '' TERM; sleep 600 & echo up; exit 0`), process.Options{Grace: time.Hour, Logger: j.logger()})
	says := func(step string) func() bool {
		return func() bool {
			return slices.ContainsFunc(j.lines(), func(line string) bool { return strings.Contains(line, step) })
		}
	}
	require.Eventually(t, func() bool { _, there := statOf(tree.Pid()); return !there }, soon, 10*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- tree.Stop(ctx) }()
	// It is logged once a second; the first time the command line may not be known yet.
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(j.lines(), func(line string) bool {
			return strings.Contains(line, "process: waiting") && strings.Contains(line, "sleep 600")
		})
	}, soon, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-stopped, process.ErrKilled)
	_ = tree.Wait() // its result does not matter
	require.Eventually(t, says("process: killed"), soon, 10*time.Millisecond)
	waiting := 0
	lines := slices.DeleteFunc(j.lines(), func(line string) bool { // on a slow machine there is more than one
		if strings.Contains(line, "process: waiting") {
			waiting++
		}
		return waiting > 1 && strings.Contains(line, "process: waiting")
	})
	wants := []string{"started", "the child has exited", "signal sent", "waiting for processes to exit", "killing processes", "killed"}
	require.Len(t, lines, len(wants), "%v", lines)
	for i, want := range wants {
		require.Contains(t, lines[i], "process: "+want)
		require.Contains(t, lines[i], fmt.Sprintf("pid=%d", tree.Pid()))
		require.Contains(t, lines[i], "time=")
	}
	require.Contains(t, lines[2], "signal=SIGTERM members=1")
	require.Contains(t, lines[4], "signal=SIGKILL members=1")
	require.Contains(t, lines[4], "level=ERROR", "the error of Stop")
	require.Contains(t, lines[1], `child="exit status 0" members=1 processes="`)
	require.Empty(t, j.mistakes())
}

func TestKillIsNotLoggedAsAnError(t *testing.T) {
	var j journal
	tree, _ := start(t, shell(`echo up; exec sleep 600`), process.Options{Logger: j.logger()})
	kill(t, tree)
	_ = tree.Wait() // it was killed
	for _, step := range []string{"process: killing", "process: killed"} {
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(j.lines(), func(line string) bool { return strings.Contains(line, step) })
		}, soon, 10*time.Millisecond)
	}
	for _, line := range j.lines() {
		require.Contains(t, line, "level=INFO")
	}
	require.Contains(t, j.lines()[len(j.lines())-1], `child="signal SIGKILL" killed=1`)
	require.Empty(t, j.mistakes())
}

func TestALoggerThatBlocksDoesNotDelayStop(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	tree, _ := start(t, shell(`echo up; sleep 600`), process.Options{Logger: slog.New(slog.NewTextHandler(stuck{release}, nil))})
	require.NoError(t, tree.Stop(soonContext(t)))
}

type stuck struct{ until <-chan struct{} }

func (s stuck) Write(p []byte) (int, error) { <-s.until; return len(p), nil }
