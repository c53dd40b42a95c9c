//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
)

// setUp bounds how long it may take to make the connections, on top of what the
// server has for its end. Most of it is never used: 12,000 take about a second.
const setUp = 30 * time.Second

// A round is one life of a server.
type round struct {
	tally
	exit      time.Duration // from SIGTERM to the end of the process
	afterLast time.Duration // from the last reply to there
	rss       int64         // before SIGTERM
	peak      int64
	failed    error // why the server did not exit with status 0
}

func (r round) String() string {
	text := fmt.Sprintf("%d answered, %d reset; exit after %v, %v after the last reply; %s, peak %s",
		r.answered, r.reset, milliseconds(r.exit), milliseconds(r.afterLast), megabytes(r.rss), megabytes(r.peak))
	for what, n := range r.strange {
		text += fmt.Sprintf("; %d x %s", n, what)
	}
	if r.failed != nil {
		text += "; " + r.failed.Error()
	}
	return text
}

// runRound starts the server, gives it its connections, ends it, and counts. The
// error says why there was nothing to count.
func (p plan) runRound(ctx context.Context, server string) (round, error) {
	all := setUp + p.hold + limit
	ctx, kill := context.WithTimeoutCause(ctx, all, fmt.Errorf("killed, for it had not ended after %v", all))
	defer kill()
	child, err := child.Start(ctx, server, p.hold.String())
	if err != nil {
		return round{}, err
	}
	c := &crowd{addr: child.Addr}
	err = c.open(ctx, p.idle, "/quick", true)
	if err == nil {
		err = c.open(ctx, p.inFlight, "/held", false)
	}
	if err == nil {
		err = untilInFlight(ctx, child.Addr, p.inFlight)
	}
	var before memory
	if err == nil {
		before, err = readMemory(child.Process.Pid)
	}
	if err != nil {
		kill()
		c.close()
		c.wait()
		return round{}, errors.Join(err, child.Wait())
	}

	peak := watchPeak(child.Process.Pid)
	told := time.Now()
	err = child.Process.Signal(syscall.SIGTERM)
	failed := child.Wait()
	ended := time.Now()
	r := round{peak: max(before.peak, peak()), tally: c.wait(), rss: before.rss, exit: ended.Sub(told), failed: failed}
	if err != nil {
		return round{}, errors.Join(err, failed)
	}
	if !r.lastReply.IsZero() {
		r.afterLast = max(0, ended.Sub(r.lastReply))
	}
	return r, nil
}
