package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/signame"
)

// A Tree is a child process and all of its descendants. Its methods may be
// called from any goroutine.
type Tree struct {
	cmd       *exec.Cmd
	pid       int
	options   Options
	command   string
	waitDelay time.Duration
	copies    *copies
	log       *logQueue
	platform  platform
	watching  sync.WaitGroup

	mu      sync.Mutex // protects what follows
	state   State
	changed chan struct{} // closed, and replaced, when state changes
	asked   bool          // Stop has been called, or cmd's context has ended
	killed  int           // so many were alive when SIGKILL came
	left    []Survivor    // Survived: who is

	// Set before the last change of state.
	status *os.ProcessState // the leader's end; nil if it is not known
	lost   error            // why it is not

	wait    sync.Once
	waitErr error
}

// Start starts cmd as cmd.Start would, and whatever it will start belongs to the
// tree that is returned. It returns when cmd has been started, on Linux after
// 3 to 7 ms, or with the error that kept it from being started.
//
// Wait with Tree.Wait, and not with cmd.Wait. StdinPipe, StdoutPipe and
// StderrPipe go on working. If cmd was made by exec.CommandContext, the end of
// its context begins a Stop, whatever cmd.Cancel is. cmd.Process is the child,
// for a SIGHUP that is to reload it, for example; on Linux only its Signal and
// its Pid are of use. Start changes cmd while it runs, so that nobody else may
// read it meanwhile.
//
// The child has a process group of its own, so that a terminal's Ctrl-C comes to
// the program alone, which stops it. What configures package shutdown in this
// program's environment, SHUTDOWN_GRACE_PERIOD and its kind, is not passed on,
// unless cmd.Env has a value of its own for the child.
func Start(cmd *exec.Cmd, o Options) (*Tree, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &Tree{
		cmd: cmd, options: o, command: oneLine(cmd), waitDelay: cmd.WaitDelay,
		log: &logQueue{logger: o.Logger}, changed: make(chan struct{}),
	}
	if err := t.start(); err != nil {
		return nil, err
	}
	return t, nil
}

// begin has a goroutine of the tree's own follow it to its end.
func (t *Tree) begin(watch func()) {
	t.copies.run()
	t.log.info("process: started", "pid", t.pid, "command", t.command)
	t.watching.Go(watch)
}

// Pid is that of the child, the tree's root. It may be another process's when the
// child has ended.
func (t *Tree) Pid() int {
	return t.pid
}

// State says how far the tree has got. It does not block.
func (t *Tree) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// Stop ends the whole tree: Options.Signal to each member, Options.Grace to end,
// SIGKILL for those who have not; and it returns when it is certain that none is
// left. It is a shutdown hook as it is.
//
// It returns nil if all ended on the signal, an error that wraps ErrKilled if some
// had to be killed, and a *SurvivorsError if some could not be. If ctx ends before
// Grace does, the rest is killed then, which is waited for; that takes
// milliseconds. What has not ended five seconds after its SIGKILL is a survivor,
// and the last is found within ten. A second call waits for the same end. A tree
// that has ended is stopped: that is no error. After a *SurvivorsError
// another call tries to kill once more.
func (t *Tree) Stop(ctx context.Context) error {
	switch over, err := t.over(); {
	case over:
		return err
	case t.State() == Survived:
		t.orderKill()
	default:
		t.orderStop()
	}
	defer t.log.flush()
	// The grace period is kept by the platform's side of the tree. This is for
	// the case that nothing comes from there any more.
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

// Kill ends the whole tree with SIGKILL, without a grace period, and returns
// when it is certain that none is left: nil, or a *SurvivorsError, for those that
// have not ended five seconds after it, as with Stop. A tree that has
// ended is no error.
func (t *Tree) Kill() error {
	if over, err := t.over(); over {
		return err
	}
	t.orderKill()
	defer t.log.flush()
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

// Wait blocks until the whole tree has ended, which may be long after its child
// has, and what was copied to cmd.Stdout and cmd.Stderr has been written. It
// returns the child's own result: nil, or an *exec.ExitError with its code or
// signal. State says who was the cause of it. Any number of goroutines may call
// it, at any time, and get the same.
//
// Where Stop or Kill had to give up, Wait returns their *SurvivorsError.
//
// Call it once at least, to release what cmd holds: the pipes that StdoutPipe
// and its kind have made. Processes are not among that: a tree that has ended
// has been reaped. If a copy is still under way when the tree has ended, because
// its io.Writer is slow, Wait gives it cmd.WaitDelay, or where that is zero as
// long as it takes. A cmd.Stdin that is being read from is not waited for.
func (t *Tree) Wait() error {
	_ = t.await(context.Background()) // which does not end
	defer t.log.flush()
	if over, _ := t.over(); !over {
		return t.result(nil)
	}
	t.wait.Do(func() { t.waitErr = t.release() })
	return t.waitErr
}

const (
	// killBound is how long members may take to die of SIGKILL. What takes
	// longer is in the hands of a device, or not ours to kill.
	killBound = 5 * time.Second
	// findBound is for those too that a busy machine was late to find.
	findBound = 2 * killBound
	// answerBound is for what is between the tree and us.
	answerBound = 5 * time.Second
)

var errNoAnswer = errors.New("no answer")

// await waits until the tree has ended or cannot be ended. Its error is ctx's.
func (t *Tree) await(ctx context.Context) error {
	for {
		t.mu.Lock()
		state, changed := t.state, t.changed
		t.mu.Unlock()
		if over, _ := t.over(); over {
			t.watching.Wait() // it has nothing left to do but return
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

// over says whether nothing will happen any more: all has ended, or, and that is
// the error, nobody is there to say so.
func (t *Tree) over() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.over() || t.lost != nil, t.lost
}

// result is what became of a Stop. early is why its context ended, if it did.
func (t *Tree) result(early error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.lost != nil:
		return t.lost
	case !t.state.over(): // Survived, or by now somebody tries again
		return &SurvivorsError{Root: t.pid, Command: t.command, Survivors: t.left}
	case t.state != Killed:
		return nil
	case early != nil:
		return fmt.Errorf("process: stop tree %d (%s): %w, and %s had not ended: %w", t.pid, t.command, early, processes(t.killed), ErrKilled)
	}
	return fmt.Errorf("process: stop tree %d (%s): %s did not end on %s within %v: %w", t.pid, t.command, processes(t.killed), signame.Name(t.options.Signal), t.options.Grace, ErrKilled)
}

// advance changes the state; back from Survived only to Killing.
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

// orderStop begins a stop, if none has begun.
func (t *Tree) orderStop() {
	t.mu.Lock()
	t.asked = true
	t.mu.Unlock()
	t.advance(Stopping, nil)
	t.platform.stop(t.options)
}

// logKilling says that SIGKILL is sent. Where the tree was to end on its signal,
// that is a failure, and the error of Stop; after Kill alone it is what was asked
// for.
func (t *Tree) logKilling(args ...any) {
	t.mu.Lock()
	asked := t.asked
	t.mu.Unlock()
	if asked {
		t.log.error("process: killing", args...)
	} else {
		t.log.info("process: killing", args...)
	}
}

func (t *Tree) orderKill() {
	t.advance(Killing, nil)
	t.platform.kill()
}
