package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/asynclog"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// logPatience is how long Stop, Kill and Wait wait for a logger that is slow.
const logPatience = 200 * time.Millisecond

// A Tree is a child process and all of its descendants, its members. Its methods
// may be called from any goroutine.
type Tree struct {
	cmd       *exec.Cmd
	pid       int
	options   Options
	command   string
	waitDelay time.Duration
	copies    *copies
	log       *asynclog.Queue
	platform  platform
	watching  sync.WaitGroup

	mu      sync.Mutex // protects what follows
	state   State
	changed chan struct{} // closed, and replaced, when state changes
	asked   bool          // Stop was called, or cmd's context has ended
	killed  int           // how many members were alive when SIGKILL was sent
	left    []Survivor    // in state Survived

	// Set before the last change of state.
	status *os.ProcessState // the child's; nil if it is not known
	lost   error            // why it is not known

	wait    sync.Once
	waitErr error
}

// Start starts cmd, like cmd.Start. Every process that cmd will start belongs to
// the tree. Start returns when cmd has been started, on Linux after 3 to 7 ms, or
// with the error that prevented it; errors are those of cmd.Start, or say which
// option or which property of this program is the reason.
//
// Use Tree.Wait and not cmd.Wait. StdinPipe, StdoutPipe and StderrPipe of cmd
// work. If cmd was made by exec.CommandContext, the end of its context has the
// effect of Stop, whatever cmd.Cancel is. cmd.Process is the child, for example to
// send it a SIGHUP to reload; on Linux only its Signal and Pid are of use. Start
// changes cmd temporarily: no other goroutine may read cmd before it returns.
//
// The child has a process group of its own. It does not inherit the environment
// variables that configure package shutdown in this program, such as
// SHUTDOWN_GRACE_PERIOD, unless cmd.Env gives them another value.
func Start(cmd *exec.Cmd, o Options) (*Tree, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &Tree{
		cmd: cmd, options: o, command: oneLine(cmd), waitDelay: cmd.WaitDelay,
		log: &asynclog.Queue{Logger: o.Logger, Prefix: "process: "}, changed: make(chan struct{}),
	}
	if err := t.start(); err != nil {
		return nil, err
	}
	return t, nil
}

// follow starts the goroutine that follows the tree until it has exited.
func (t *Tree) follow(watch func()) {
	t.copies.run()
	t.log.Info("process: started", "pid", t.pid, "command", t.command)
	t.watching.Go(watch)
}

// Pid returns the PID of the child. When the child has exited, another process
// may have it.
func (t *Tree) Pid() int { return t.pid }

// State returns the tree's present state. It does not block.
func (t *Tree) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// Stop stops the whole tree and blocks until no member is left: it sends
// Options.Signal to each member, waits for Options.Grace, and sends SIGKILL to
// those that have not exited. It can be used as a shutdown hook.
//
// Stop returns nil if all members exited on the signal. Its error wraps ErrKilled if
// some were killed. It is a *SurvivorsError if some did not exit within five seconds
// of SIGKILL, or may not be signalled; on a busy machine it may take ten seconds to
// find that out. If the reaper was killed, so that nothing is known of the tree, the
// error says so.
//
// If ctx ends before the grace period does, SIGKILL is sent at once, and Stop
// waits for its effect, which takes milliseconds. A second call, also a concurrent
// one, waits for the same stop. If the tree has exited, Stop returns nil. After a
// *SurvivorsError another call sends SIGKILL again.
func (t *Tree) Stop(ctx context.Context) error {
	switch over, err := t.over(); {
	case over:
		return err
	case t.State() == Survived:
		t.orderKill()
	default:
		t.orderStop()
	}
	defer t.log.Flush(logPatience)
	// The platform's side of the tree times the grace period. This bound is for
	// the case that it does not answer any more.
	bound := max(t.options.Grace, t.options.Grace+findBound+answerBound) // the sum may overflow
	ctx, cancel := context.WithTimeoutCause(ctx, bound, errNoAnswer)
	defer cancel()
	err := t.await(ctx)
	if err == nil {
		return t.result(nil)
	}
	t.orderKill()
	last, cancelLast := context.WithTimeoutCause(context.WithoutCancel(ctx), findBound+answerBound, errNoAnswer)
	defer cancelLast()
	if noAnswer := t.await(last); noAnswer != nil {
		return fmt.Errorf("process: stop tree %d (%s): %w", t.pid, t.command, noAnswer)
	}
	return t.result(err)
}

// Kill sends SIGKILL to the whole tree, without a grace period, and blocks until no
// member is left. It returns nil, also if the tree had exited before, or a
// *SurvivorsError as Stop does.
func (t *Tree) Kill() error {
	if over, err := t.over(); over {
		return err
	}
	t.orderKill()
	defer t.log.Flush(logPatience)
	ctx, cancel := context.WithTimeoutCause(context.Background(), findBound+answerBound, errNoAnswer)
	defer cancel()
	if err := t.await(ctx); err != nil {
		return fmt.Errorf("process: kill tree %d (%s): %w", t.pid, t.command, err)
	}
	if err := t.result(nil); !errors.Is(err, ErrKilled) {
		return err
	}
	return nil
}

// Wait blocks until the whole tree has exited, which may be long after the child
// has, and its output has been copied to cmd.Stdout and cmd.Stderr. Like cmd.Wait it
// returns the child's own result: nil, an *exec.ExitError with its exit code or
// signal, or else the error of the copying. State says what ended the tree. Wait may
// be called by any number of goroutines and at any time; all get the same result. If
// Stop or Kill returned a *SurvivorsError, Wait returns it too.
//
// Wait releases the pipes that StdoutPipe, StdinPipe and StderrPipe made, so it
// has to be called at least once. Processes are reaped without it. If an
// io.Writer is so slow that the output is still being copied when the tree has
// exited, Wait waits for cmd.WaitDelay, or without limit if that is zero. It does
// not wait for a pending Read of cmd.Stdin.
func (t *Tree) Wait() error {
	_ = t.await(context.Background()) // which never ends, so there is no error
	defer t.log.Flush(logPatience)
	if over, _ := t.over(); !over {
		return t.result(nil)
	}
	t.wait.Do(func() { t.waitErr = t.release() })
	return t.waitErr
}

const (
	// killBound is the time that members have to exit after SIGKILL. One that
	// needs longer is blocked in the kernel by a device, or may not be killed.
	killBound = 5 * time.Second
	// findBound includes the time in which a busy machine finds the last members.
	findBound = 2 * killBound
	// answerBound is the time until the outcome is known here.
	answerBound = 5 * time.Second
)

var errNoAnswer = errors.New("no answer")

// await waits until the tree has exited or cannot be ended. Its error is ctx's.
func (t *Tree) await(ctx context.Context) error {
	for {
		t.mu.Lock()
		state, changed := t.state, t.changed
		t.mu.Unlock()
		if over, _ := t.over(); over {
			t.watching.Wait() // its goroutines are about to return
			return nil
		}
		if state == Survived {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// over reports whether the state is final: all members have exited, or what became
// of them cannot be known, which is the error.
func (t *Tree) over() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.over() || t.lost != nil, t.lost
}

// result returns the error of a Stop. early is why its context ended, if it did.
func (t *Tree) result(early error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.lost != nil:
		return t.lost
	case !t.state.over(): // Survived, or another call is trying again
		return &SurvivorsError{Root: t.pid, Command: t.command, Survivors: t.left}
	case t.state != Killed:
		return nil
	case early != nil:
		return fmt.Errorf("process: stop tree %d (%s): %w while %s had not exited: %w", t.pid, t.command, early, processes(t.killed), ErrKilled)
	}
	return fmt.Errorf("process: stop tree %d (%s): %s did not exit on %s within %v: %w", t.pid, t.command, processes(t.killed), signame.Name(t.options.Signal), t.options.Grace, ErrKilled)
}

// advance changes the state. The only way back is from Survived to Killing.
func (t *Tree) advance(to State, then func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	back := to < t.state && (t.state != Survived || to != Killing)
	if t.state.over() || t.lost != nil || back {
		return
	}
	if then != nil {
		then()
	}
	t.state = to
	close(t.changed)
	t.changed = make(chan struct{})
}

// orderStop starts a stop. Another call has no effect.
func (t *Tree) orderStop() {
	t.mu.Lock()
	t.asked = true
	t.mu.Unlock()
	t.advance(Stopping, nil)
	t.platform.stop(t.options)
}

// logKilling logs that SIGKILL is sent: as an error if the tree should have exited
// on its signal, which is also the error of Stop, and not after Kill alone.
func (t *Tree) logKilling(args ...any) {
	t.mu.Lock()
	asked := t.asked
	t.mu.Unlock()
	if asked {
		t.log.Error("process: killing processes", args...)
	} else {
		t.log.Info("process: killing processes", args...)
	}
}

func (t *Tree) orderKill() {
	t.advance(Killing, nil)
	t.platform.kill()
}
