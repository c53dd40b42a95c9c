//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// TestMain runs the program instead of the tests if a test has started it.
func TestMain(m *testing.M) {
	if os.Getenv("WORKER") != "" {
		main()
	}
	os.Exit(m.Run())
}

const patience = 60 * time.Second

func TestResultsInMemoryAreWrittenOnSIGTERM(t *testing.T) {
	t.Parallel()
	for round := 1; ; round++ {
		q, dir := newTestQueue(t), t.TempDir()
		w := startWorker(t, dir, q)
		w.awaitInMemory(20)
		require.Empty(t, w.results())
		w.signal(syscall.SIGTERM)
		require.NoError(t, w.wait())
		require.GreaterOrEqual(t, len(w.results()), 20)
		q.requireAcknowledged(t, w.results())
		require.Contains(t, w.output.String(), "shutdown: finished after")
		if strings.Contains(w.output.String(), "the end could not be written in time") && round < 10 {
			continue // the disk did not respond for 250 ms, so the next run cannot know
		}

		next := startWorker(t, dir, q)
		next.awaitInMemory(1)
		require.NotContains(t, next.output.String(), "killed")
		return
	}
}

func TestResultsInMemoryAreWrittenOnSIGTERMEvenIfARequestHangs(t *testing.T) {
	t.Parallel()
	// If the machine is stopped for a quarter of the grace period, everything may be too
	// late. So the grace period is doubled for each attempt.
	for grace := shortGrace; ; grace *= 2 {
		q, dir := newTestQueue(t), t.TempDir()
		w := startWorkerWith(t, dir, q, grace)
		w.hang()
		w.awaitInMemory(20)
		w.signal(syscall.SIGTERM)
		start := time.Now()
		err := w.wait()
		took := time.Since(start)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 1, exit.ExitCode())
		if (took >= grace || len(w.results()) < 20) && grace < maxGrace {
			continue
		}
		require.Less(t, took, grace)
		require.GreaterOrEqual(t, len(w.results()), 20)
		q.requireAcknowledged(t, w.results())
		require.Contains(t, w.output.String(), "cut off: 1 task: GET /forever")
		return
	}
}

// This is the negative control of the tests above, and shows what the record is for.
func TestAfterSIGKILLTheNextRunLogsTheKillAndReceivesTheJobsAgain(t *testing.T) {
	t.Parallel()
	q, dir := newTestQueue(t), t.TempDir()
	w := startWorker(t, dir, q)
	w.awaitInMemory(20)
	w.awaitRecord(`"phase":"running"`)
	w.signal(syscall.SIGKILL)
	require.Error(t, w.wait())
	require.Empty(t, w.results(), "the results were only in memory")

	next := startWorker(t, dir, q)
	next.awaitInMemory(20)
	next.awaitOutput("the last run was killed while running")
	next.signal(syscall.SIGTERM)
	require.NoError(t, next.wait())
	for n := range 20 {
		require.Contains(t, next.results(), fmt.Sprint("job ", n+1))
	}
}

func TestAfterSIGKILLInDrainTheNextRunNamesTheRequest(t *testing.T) {
	t.Parallel()
	q, dir := newTestQueue(t), t.TempDir()
	w := startWorker(t, dir, q)
	w.hang()
	w.awaitInMemory(1)
	w.signal(syscall.SIGTERM)
	w.awaitOutput("shutdown: waiting") // logged after a second
	w.awaitRecord(`"phase":"drain"`, "GET /forever")
	w.signal(syscall.SIGKILL)
	require.Error(t, w.wait())

	next := startWorker(t, dir, q)
	line := next.awaitOutput("the last run was killed in drain")
	require.Contains(t, line, "after signal SIGTERM")
	require.Contains(t, line, "GET /forever")
	next.awaitOutput("in flight: 1 task: GET /forever") // the timeline
}

const (
	grace      = time.Minute
	shortGrace = 8 * time.Second // for a test that takes all of it, because a request hangs
	maxGrace   = 32 * time.Second
)

type worker struct {
	t       *testing.T
	cmd     *exec.Cmd
	addr    string
	path    string
	record  string
	output  *testlog.Buffer
	ended   chan struct{}
	waitErr error
}

func startWorker(t *testing.T, dir string, q *testQueue) *worker {
	t.Helper()
	return startWorkerWith(t, dir, q, grace)
}

func startWorkerWith(t *testing.T, dir string, q *testQueue, grace time.Duration) *worker {
	t.Helper()
	addr, err := loopback.FreeAddr()
	require.NoError(t, err)
	w := &worker{
		t: t, addr: addr, path: filepath.Join(dir, "results"), record: filepath.Join(dir, "record"), output: &testlog.Buffer{}, ended: make(chan struct{}),
	}
	w.cmd = exec.Command(os.Args[0], "-addr", w.addr, "-queue", q.addr, "-results", w.path,
		"-record", w.record, "-job", "1ms", "-flush", "1000000")
	w.cmd.Env = append(os.Environ(), "WORKER=1", fmt.Sprint("SHUTDOWN_GRACE_PERIOD=", grace), "SHUTDOWN_LAME_DUCK=0")
	w.cmd.Stdout, w.cmd.Stderr = w.output, w.output
	require.NoError(t, w.cmd.Start())
	go func() {
		w.waitErr = w.cmd.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill() // no effect if it has exited
		<-w.ended
		if t.Failed() {
			t.Log(w.output)
		}
	})
	return w
}

func (w *worker) signal(sig syscall.Signal) {
	w.t.Helper()
	require.NoError(w.t, w.cmd.Process.Signal(sig))
}

func (w *worker) wait() error {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(patience):
		require.FailNow(w.t, "the worker has not exited")
	}
	return w.waitErr
}

func (w *worker) awaitInMemory(least int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		resp, err := http.Get("http://" + w.addr + "/status")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var n int
		_, err = fmt.Fscan(resp.Body, &n)
		return err == nil && n >= least
	}, patience, 5*time.Millisecond)
}

// hang sends a request that does not return.
func (w *worker) hang() {
	w.t.Helper()
	w.awaitInMemory(0)
	c, err := net.Dial("tcp", w.addr)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	_, err = io.WriteString(c, "GET /forever HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(w.t, err)
}

func (w *worker) awaitOutput(text string) (line string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		for l := range strings.Lines(w.output.String()) {
			if strings.Contains(l, text) && strings.HasSuffix(l, "\n") {
				line = l
			}
		}
		return line != ""
	}, patience, 5*time.Millisecond, text)
	return line
}

// awaitRecord waits until the record contains parts. The record is written after the log
// line, and a SIGKILL in between would be too early.
func (w *worker) awaitRecord(parts ...string) {
	w.t.Helper()
	var text []byte
	require.Eventually(w.t, func() bool {
		text, _ = os.ReadFile(w.record)
		return !slices.ContainsFunc(parts, func(part string) bool { return !bytes.Contains(text, []byte(part)) })
	}, patience, 5*time.Millisecond, "%v", parts)
}

func (w *worker) results() []string {
	w.t.Helper()
	text, err := os.ReadFile(w.path)
	require.NoError(w.t, err)
	return lines(string(text))
}

func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
	return all
}

// A testQueue sends to each client all jobs that are not acknowledged.
type testQueue struct {
	addr  string
	mu    sync.Mutex // protects acked
	acked []string
}

func newTestQueue(t *testing.T) *testQueue {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	q := &testQueue{addr: ln.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { q.send(c) })
			serving.Go(func() { q.receive(c) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, ln.Close())
		serving.Wait()
	})
	return q
}

func (q *testQueue) send(c net.Conn) {
	for n := 1; ; n++ {
		job := fmt.Sprint("job ", n)
		if slices.Contains(q.acknowledged(), job) {
			continue
		}
		if _, err := fmt.Fprintln(c, job); err != nil {
			return
		}
	}
}

func (q *testQueue) receive(c net.Conn) {
	defer c.Close() // then send returns
	for jobs := bufio.NewScanner(c); jobs.Scan(); {
		q.mu.Lock()
		q.acked = append(q.acked, jobs.Text())
		q.mu.Unlock()
	}
}

func (q *testQueue) acknowledged() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.acked)
}

// requireAcknowledged waits until the queue has read all acknowledgements, and checks that
// they are for the jobs whose results are on disk, and no others.
func (q *testQueue) requireAcknowledged(t *testing.T, onDisk []string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(q.acknowledged()) >= len(onDisk) }, patience, time.Millisecond)
	require.ElementsMatch(t, onDisk, q.acknowledged())
}
