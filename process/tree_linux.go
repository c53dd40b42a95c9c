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

// platform is the connection to the tree's reaper.
type platform struct {
	link   *link
	reaper *os.Process
}

// startBound limits the time that this program's init functions take in the
// reaper.
const startBound = 30 * time.Second

// start starts the reaper and lets it start the child. The reaper is started with
// the caller's cmd, so that it has the pipes that StdoutPipe and so on have made.
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
	theirs.Close() // or we would not see the end of the socket when the reaper exits
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
	// The reaper does not reap the child before it gets Go, so the PID is not
	// reused. FindProcess opens a pidfd.
	if cmd.Process, err = os.FindProcess(pid); err != nil {
		return err // never on Unix
	}
	if attr := cmd.SysProcAttr; attr != nil && attr.PidFD != nil {
		if *attr.PidFD, err = unix.PidfdOpen(pid, 0); err != nil {
			*attr.PidFD = -1
		}
	}
	t.follow(t.watch)
	_ = t.platform.link.send(order{Go: true}, startBound) // if the reaper has exited, watch reports it
	return nil
}

// linkerEnv is where the dynamic linker finds shared libraries. A program with cgo
// may not start without it.
const linkerEnv = "LD_LIBRARY_PATH"

// startReaper starts this program again, with the files that cmd gives its child.
// Its environment is nearly empty: this program's init functions run in it, and
// must not act as they do in the program.
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
	// The reaper has a process group of its own, so that it does not get Ctrl-C, or
	// a signal to the program's group. It stays in the program's session. If it did
	// not, the child's group would be orphaned, and the kernel continues stopped
	// members of an orphaned group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if attr != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = attr.UseCgroupFD, attr.CgroupFD
	}
	// exec.Cmd would kill the reaper.
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

// startChild sends the request to the reaper and returns the child's PID.
func (t *Tree) startChild(r request) (int, error) {
	link := t.platform.link
	if err := link.send(r, startBound); err != nil {
		return 0, fmt.Errorf("process: start %s: send the request to the reaper: %w", t.command, err)
	}
	_ = link.file.SetReadDeadline(time.Now().Add(startBound))
	var a answer
	if err := link.receive(&a); err != nil {
		return 0, fmt.Errorf("process: start %s: the reaper, which is this program started again, did not answer (%w): did an init function of this program exit?", t.command, err)
	}
	_ = link.file.SetReadDeadline(time.Time{})
	if a.Errno != 0 {
		return 0, &fs.PathError{Op: a.Doing, Path: t.cmd.Path, Err: a.Errno}
	}
	return a.Started, nil
}

// watch handles the reaper's events until the tree has exited.
func (t *Tree) watch() {
	var done *reaper.Result
	for {
		var a answer
		if t.platform.link.receive(&a) != nil {
			break
		}
		if a.Event != nil {
			t.handle(*a.Event)
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
	t.log.Info("process: "+over.String(), "pid", t.pid, "child", statusText(status), "killed", done.Killed)
	t.advance(over, func() { t.status, t.killed = status, done.Killed })
}

// lose reports that the reaper exited before the tree.
func (t *Tree) lose(status *os.ProcessState, err error) {
	if err == nil {
		err = errors.New(statusText(status))
	}
	err = fmt.Errorf("process: tree %d (%s): its reaper exited before it (%w): processes may be left running", t.pid, t.command, err)
	t.log.Error("process: the reaper exited before the tree", "pid", t.pid, "error", err.Error())
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

// wake continues a reaper that was stopped by SIGSTOP.
func (p *platform) wake() {
	if p.reaper != nil {
		_ = p.reaper.Signal(unix.SIGCONT)
	}
}
