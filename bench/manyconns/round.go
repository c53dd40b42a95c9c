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

// setUp bounds the time to make the connections. 12,000 take about a second.
const setUp = 30 * time.Second

// A round is the result of one shutdown.
type round struct {
	tally
	exit      time.Duration // from SIGTERM to the end of the process
	afterLast time.Duration // from the last reply to the end of the process
	rss       int64         // before SIGTERM
	peak      int64
	failed    error // why the server did not exit with status 0
}

func (r round) String() string {
	text := fmt.Sprintf("%d answered, %d reset; exit after %v, %v after the last reply; %s, peak %s",
		r.answered, r.reset, milliseconds(r.exit), milliseconds(r.afterLast), megabytes(r.rss), megabytes(r.peak))
	for what, n := range r.otherEnds {
		text += fmt.Sprintf("; %d x %s", n, what)
	}
	if r.failed != nil {
		text += "; " + r.failed.Error()
	}
	return text
}

// runRound starts a server, makes the connections, stops the server, and counts. An
// error says that the round could not be done.
func (p plan) runRound(ctx context.Context, server string) (round, error) {
	all := setUp + p.hold + limit
	ctx, kill := context.WithTimeoutCause(ctx, all, fmt.Errorf("killed, because it had not ended after %v", all))
	defer kill()
	child, err := child.Start(ctx, server, p.hold.String())
	if err != nil {
		return round{}, err
	}
	c := &clients{addr: child.Addr}
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
	signaled := time.Now()
	err = child.Process.Signal(syscall.SIGTERM)
	failed := child.Wait()
	ended := time.Now()
	r := round{peak: max(before.peak, peak()), tally: c.wait(), rss: before.rss, exit: ended.Sub(signaled), failed: failed}
	if err != nil {
		return round{}, errors.Join(err, failed)
	}
	if !r.lastReply.IsZero() {
		r.afterLast = max(0, ended.Sub(r.lastReply))
	}
	return r, nil
}
