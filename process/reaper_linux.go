//go:build !processgroup

package process

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

// reaperName is what a reaper is called in a list of processes. 15 characters
// are all that the kernel keeps.
const reaperName = "shutdown-reaper"

var reaperComm = []byte(reaperName + "\x00")

// A reaper is this program, started again. What its packages do on being
// initialised has to be done before this can be reached, and is: in the order of
// the import graph, and of import paths where that leaves a choice.
func init() {
	if control := takeControl(); control != nil {
		runReaper(newLink(control)) // does not return
	}
}

// takeControl returns the socket to the program if this process was started as a
// reaper: its environment says so, with the number of a descriptor that is a
// socket. A program that has got the variable by mistake has no such descriptor.
func takeControl() *os.File {
	fd, err := strconv.Atoi(os.Getenv(reaperEnv))
	if err != nil || fd < 3 {
		return nil
	}
	_ = os.Unsetenv(reaperEnv)
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_UNIX {
		return nil
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil { // or it has no deadlines
		return nil
	}
	return os.NewFile(uintptr(fd), "program")
}

// orphanGrace is what is left to a tree whose program is gone.
const orphanGrace = 500 * time.Millisecond

// runReaper starts the child, reaps it and all that is below it, and ends as the
// child has.
func runReaper(l *link) {
	var r request
	if l.receive(&r) != nil {
		unix.Exit(1)
	}
	// Whatever is sent to everybody, to a group or a cgroup, must not end this
	// process before it has ended the others. Caught, and not ignored: the child
	// would inherit that. What the program ignores (nohup) stays so.
	caught := make(chan os.Signal, 1)
	for sig := unix.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCONT, unix.SIGCHLD, unix.SIGURG:
		default:
			if !signal.Ignored(sig) {
				signal.Notify(caught, sig)
			}
		}
	}
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&reaperComm[0])), 0, 0, 0)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		refuse(l, "become a subreaper", err)
	}
	if err := reaper.CheckProc(); err != nil {
		refuse(l, "look into this PID namespace's /proc to start", err)
	}
	pid, err := startChild(r)
	if err != nil {
		refuse(l, "fork/exec", err)
	}
	letGo(r.Files)

	told := make(chan struct{})
	loop := reaper.New(pid, func(e reaper.Event) { _ = l.send(answer{Event: &e}, writeBound) })
	go func() { // until the process ends
		obey(l, loop, told, r)
	}()
	_ = l.send(answer{Started: pid}, startBound)
	<-told
	result := loop.Run()
	_ = l.send(answer{Done: &result}, answerBound)
	endAs(result)
}

// obey does what the program says, and ends the tree when there is no program.
func obey(l *link, loop *reaper.Reaper, told chan<- struct{}, r request) {
	for {
		var o order
		if l.receive(&o) != nil {
			break
		}
		switch {
		case o.Go:
			close(told)
			told = nil
		case o.Stop:
			loop.Stop(o.Signal, o.Grace, false)
		case o.Kill:
			loop.Kill()
		}
	}
	loop.Stop(r.Signal, min(r.Grace, orphanGrace), false)
	loop.Quit()
	if told != nil {
		close(told)
	}
}

func startChild(r request) (int, error) {
	attr := &syscall.ProcAttr{Dir: string(r.Dir), Sys: r.Attr}
	attr.Sys.Chroot = string(r.Chroot)
	if attr.Sys.Pdeathsig == 0 {
		// If somebody kills the reaper, the child at least does not stay.
		attr.Sys.Pdeathsig = unix.SIGKILL
	}
	for fd, open := range r.Files {
		if !open {
			fd = -1
		}
		attr.Files = append(attr.Files, uintptr(fd))
	}
	for _, entry := range r.Env {
		attr.Env = append(attr.Env, string(entry))
	}
	if attr.Env == nil {
		attr.Env = []string{} // nil would be ours
	}
	args := make([]string, len(r.Args))
	for i, arg := range r.Args {
		args[i] = string(arg)
	}
	return syscall.ForkExec(string(r.Path), args, attr)
}

// letGo gives up everything that is the child's: who reads from its pipes is to
// see their end when it has ended, and a file system it was started from can be
// unmounted.
func letGo(files []bool) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	for fd, open := range files {
		switch {
		case !open: // if it is in use, by us
		case fd > 2 || err != nil:
			_ = unix.Close(fd)
		default:
			_ = unix.Dup3(null, fd, 0)
		}
	}
	_ = unix.Close(null)
	_ = unix.Chdir("/")
}

// refuse says why there is no child, and ends.
func refuse(l *link, doing string, err error) {
	errno := unix.EINVAL
	_ = errors.As(err, &errno)
	_ = l.send(answer{Errno: errno, Doing: doing}, startBound)
	unix.Exit(1)
}
