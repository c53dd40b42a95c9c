package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"
)

// stop asks the program to exit, with the signal, or with the command that it starts. If
// the command fails, the channel gets the error.
func (p Plan) stop(ctx context.Context, prog *program) (failed <-chan error, err error) {
	if p.StopCommand == "" {
		return nil, prog.signal(p.Signal)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", p.StopCommand)
	if runtime.GOOS == "windows" {
		cmd = exec.CommandContext(ctx, "cmd", "/C", p.StopCommand)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // what it has started may keep its output open
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("the stop command: %w", err)
	}
	result := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			result <- fmt.Errorf("the stop command: %w: %s", err, lastLines(out.Bytes()))
		}
	}()
	return result, nil
}

// An end is how a program ended after the stop.
type end struct {
	killed    bool // it had not exited by the end of the grace period
	accepting bool // it accepted connections then
}

// untilItExits waits for the exit, kills the program at the end of the grace period, and
// returns an error if the stop has failed.
func (p Plan) untilItExits(ctx context.Context, prog *program, addr string, began time.Time) (e end, err error) {
	failed, err := p.stop(ctx, prog)
	if err != nil {
		return e, err
	}
	timer := time.NewTimer(time.Until(began.Add(p.Grace)))
	defer timer.Stop()
	select {
	case <-prog.exited:
		return e, nil
	case err := <-failed:
		return e, err
	case <-ctx.Done():
		return e, context.Cause(ctx)
	case <-timer.C:
	}
	e.accepting = listens(addr)
	e.killed = !prog.hasExited()
	prog.kill()
	return e, nil
}
