//go:build !processgroup

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

// platform is the way to a reaper.
type platform struct {
	link   *link
	reaper *os.Process
}

// startBound is how long this program's init functions may take in the reaper.
const startBound = 30 * time.Second

// start has a reaper start the child. The caller's cmd starts the reaper, in its
// place: then the pipes of StdoutPipe and its kind are where they ought to be.
func (t *Tree) start() (err error) {
	cmd := t.cmd
	if err := checkExecutable(); err != nil {
		return fmt.Errorf("process: start %s: %w", t.command, err)
	}
	request, err := t.request()
	if err != nil {
		return err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("process: start %s: %w", t.command, err)
	}
	t.platform.link = newLink(ours)
	t.copies = new(copies)
	defer func() {
		if err != nil {
			t.copies.cancel()
			ours.Close()
		}
	}()

	tried := make(chan struct{})
	err = t.startReaper(theirs, tried)
	theirs.Close() // the reaper has its own, and only its end is the end
	if err != nil {
		return err
	}
	pid, err := t.startChild(request)
	close(tried)
	if err != nil {
		_ = t.platform.reaper.Kill()
		_, _ = t.platform.reaper.Wait()
		_ = cmd.Wait() // closes the pipes
		cmd.Process = nil
		return err
	}
	t.pid = pid
	// While it is not reaped, and it is not before we say Go, the pid is its own.
	// FindProcess then holds it by a pidfd.
	if cmd.Process, err = os.FindProcess(pid); err != nil {
		return err // never on Unix
	}
	if attr := cmd.SysProcAttr; attr != nil && attr.PidFD != nil {
		if *attr.PidFD, err = unix.PidfdOpen(pid, 0); err != nil {
			*attr.PidFD = -1
		}
	}
	t.begin(t.watch)
	_ = t.platform.link.send(order{Go: true}, startBound) // if the reaper is gone, watch will say so
	return nil
}

// linkerEnv tells where this program's shared libraries are: with cgo, it may not
// start again without it.
const linkerEnv = "LD_LIBRARY_PATH"

// startReaper starts this program again, with all that cmd gives its child. Its
// environment is empty but for what makes it a reaper: this program's init
// functions run in it, and must not take it for the program.
func (t *Tree) startReaper(control *os.File, tried <-chan struct{}) error {
	cmd := t.cmd
	path, args, env, dir := cmd.Path, cmd.Args, cmd.Env, cmd.Dir
	extra, attr, delay, cancel := cmd.ExtraFiles, cmd.SysProcAttr, cmd.WaitDelay, cmd.Cancel
	restore, err := t.copies.pipe(cmd)
	defer func() {
		restore()
		cmd.Path, cmd.Args, cmd.Env, cmd.Dir = path, args, env, dir
		cmd.ExtraFiles, cmd.SysProcAttr = extra, attr
		if err != nil {
			cmd.WaitDelay, cmd.Cancel = delay, cancel
		}
	}()
	if err != nil {
		return fmt.Errorf("process: start %s: %w", t.command, err)
	}
	cmd.Path, cmd.Args, cmd.Dir = "/proc/self/exe", []string{reaperName, t.command}, ""
	cmd.Env = []string{reaperEnv + "=" + strconv.Itoa(3+len(extra)), "GOMAXPROCS=1"}
	if libraries, ok := os.LookupEnv(linkerEnv); ok {
		cmd.Env = append(cmd.Env, linkerEnv+"="+libraries)
	}
	cmd.ExtraFiles = append(extra[:len(extra):len(extra)], control)
	// A group of its own, so that Ctrl-C, or a kill of the program's group, does
	// not come to it. Not a session of its own: the child stays in the program's,
	// and a group with members that are stopped is no orphan, which the kernel
	// would continue.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if attr != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = attr.UseCgroupFD, attr.CgroupFD
	}
	// exec.Cmd would kill cmd.Process, and that is not the tree.
	cmd.WaitDelay = 0
	if cmd.Cancel != nil {
		cmd.Cancel = func() error {
			<-tried
			t.orderStop()
			return nil
		}
	}
	if err = cmd.Start(); err != nil {
		return err
	}
	t.platform.reaper = cmd.Process
	return nil
}

// startChild tells the reaper what to start, and returns the child's pid.
func (t *Tree) startChild(r request) (int, error) {
	link := t.platform.link
	if err := link.send(r, startBound); err != nil {
		return 0, fmt.Errorf("process: start %s: to the reaper: %w", t.command, err)
	}
	_ = link.file.SetReadDeadline(time.Now().Add(startBound))
	var a answer
	if err := link.receive(&a); err != nil {
		return 0, fmt.Errorf("process: start %s: the reaper, which is this program started again, has not answered (%w): did an init function of this program end it?", t.command, err)
	}
	_ = link.file.SetReadDeadline(time.Time{})
	if a.Errno != 0 {
		return 0, &fs.PathError{Op: a.Doing, Path: t.cmd.Path, Err: a.Errno}
	}
	return a.Started, nil
}

// watch follows the tree to its end.
func (t *Tree) watch() {
	var done *reaper.Result
	for {
		var a answer
		if t.platform.link.receive(&a) != nil {
			break
		}
		if a.Event != nil {
			t.happened(*a.Event)
		}
		if a.Done != nil {
			done = a.Done
		}
	}
	status, err := t.platform.reaper.Wait()
	t.platform.link.file.Close()
	if done == nil || err != nil {
		t.lose(status, err)
		return
	}
	over := map[reaper.Phase]State{reaper.Running: Ended, reaper.Stopping: Stopped, reaper.Killed: Killed}[done.Phase]
	t.log.info("process: "+over.String(), "pid", t.pid, "child", statusText(status), "killed", done.Killed)
	t.advance(over, func() { t.status, t.killed = status, done.Killed })
}

// lose says that the reaper has gone before the tree had.
func (t *Tree) lose(status *os.ProcessState, err error) {
	if err == nil {
		err = errors.New(statusText(status))
	}
	err = fmt.Errorf("process: tree %d (%s): its reaper ended before it (%w): what is left of it is not known", t.pid, t.command, err)
	t.log.error("process: the reaper has gone", "pid", t.pid, "error", err.Error())
	t.advance(Survived, func() { t.lost = err })
}

func (p *platform) stop(o Options) {
	_ = p.link.send(order{Stop: true, Signal: o.Signal.(syscall.Signal), Grace: o.Grace}, writeBound)
	p.wake()
}

func (p *platform) kill() {
	_ = p.link.send(order{Kill: true}, writeBound)
	p.wake()
}

// wake continues a reaper that somebody has stopped. That the order reached it,
// and what came of it, is seen by what it reports.
func (p *platform) wake() {
	if p.reaper != nil {
		_ = p.reaper.Signal(unix.SIGCONT)
	}
}
