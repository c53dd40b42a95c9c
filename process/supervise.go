//go:build !linux || processgroup

package process

import (
	"fmt"
	"os"
	"time"

	"github.com/gracefulgo/shutdown/internal/signame"
)

// On systems without a reaper the program itself watches the tree, through a group:
// a process group or a job object. Each system has
//
//	startGroup(cmd *exec.Cmd) (*group, error) starts cmd in a group of its own
//	(*group) signal(sig os.Signal) error      signals all members
//	(*group) kill() error
//	(*group) left() (int, []Survivor)         how many are left, and which if that is known
//	(*group) close()

// platform carries orders to the goroutine that watches the tree.
type platform struct {
	orders chan order
	done   chan struct{} // closed when no more orders are taken
}

type order int

const (
	orderStop order = iota
	orderKill
)

func (t *Tree) start() error {
	cmd := t.cmd
	env, cancel, delay := cmd.Env, cmd.Cancel, cmd.WaitDelay
	t.copies = new(copies)
	t.platform = platform{orders: make(chan order, 16), done: make(chan struct{})}
	restore, err := t.copies.pipe(cmd)
	cmd.Env = childEnv(cmd)
	// exec.Cmd would kill only the child.
	cmd.WaitDelay = 0
	if cmd.Cancel != nil {
		cmd.Cancel = func() error { t.orderStop(); return nil }
	}
	var g *group
	if err == nil {
		g, err = startGroup(cmd)
	}
	restore()
	cmd.Env = env
	if err != nil {
		cmd.Cancel, cmd.WaitDelay = cancel, delay
		t.copies.cancel()
		close(t.platform.done)
		return err
	}
	t.pid = cmd.Process.Pid
	t.follow(func() { t.watch(g) })
	return nil
}

const (
	lookSoon  = 10 * time.Millisecond // while the tree is being stopped
	lookLater = time.Second           // while descendants outlive the child
)

// watch follows the tree until it has exited.
func (t *Tree) watch(g *group) {
	defer close(t.platform.done)
	defer g.close()
	type end struct {
		status *os.ProcessState
		err    error
	}
	childEnded := make(chan end, 1)
	t.watching.Go(func() {
		status, err := t.cmd.Process.Wait()
		childEnded <- end{status, err}
	})
	var (
		child    *end
		state    = Running
		deadline time.Time // of the grace period, then of killBound
		killed   int
		timer    = time.NewTimer(lookLater)
	)
	defer timer.Stop()
	kill := func() {
		n, _ := g.left()
		if state != Killing && n > 0 {
			t.logKilling("pid", t.pid, "signal", "SIGKILL", "members", n)
		}
		killed = max(killed, n)
		state, deadline = Killing, time.Now().Add(killBound)
		t.advance(Killing, nil)
		if err := g.kill(); err != nil && n > 0 {
			t.log.Warn("process: kill failed", "pid", t.pid, "error", err.Error())
		}
	}
	for {
		select {
		case e := <-childEnded:
			child = &e
		case o := <-t.platform.orders:
			switch {
			case o == orderKill:
				kill()
			case state == Running:
				state, deadline = Stopping, time.Now().Add(t.options.Grace)
				n, _ := g.left()
				err := g.signal(t.options.Signal)
				t.log.Info("process: signal sent", "pid", t.pid, "signal", signame.Name(t.options.Signal), "members", n)
				if err != nil && n > 0 {
					t.log.Warn("process: signal not delivered", "pid", t.pid, "signal", signame.Name(t.options.Signal), "error", err.Error())
				}
			}
		case <-timer.C:
		}
		left, survivors := g.left()
		if child != nil && left == 0 {
			t.finish(child.status, child.err, state, killed)
			return
		}
		look := lookLater
		if state != Running && t.State() != Survived {
			look = lookSoon
			if !time.Now().Before(deadline) {
				if state == Stopping {
					kill()
				} else {
					t.log.Error("process: processes could not be ended", "pid", t.pid, "members", left, "processes", survivorsText(survivors))
					t.advance(Survived, func() { t.left = survivors })
				}
			}
		}
		timer.Reset(look)
	}
}

func (t *Tree) finish(status *os.ProcessState, err error, state State, killed int) {
	if err != nil {
		err = fmt.Errorf("process: tree %d (%s): wait for the child: %w", t.pid, t.command, err)
		t.log.Error("process: the child's status is unknown", "pid", t.pid, "error", err.Error())
		t.advance(Survived, func() { t.lost = err })
		return
	}
	over := Ended
	switch {
	case state == Killing && killed > 0:
		over = Killed
	case state != Running:
		over = Stopped
	}
	t.log.Info("process: "+over.String(), "pid", t.pid, "child", statusText(status), "killed", killed)
	t.advance(over, func() { t.status, t.killed = status, killed })
}

func (p *platform) stop(Options) { p.order(orderStop) }
func (p *platform) kill()        { p.order(orderKill) }

func (p *platform) order(o order) {
	select {
	case p.orders <- o:
	case <-p.done:
	}
}
