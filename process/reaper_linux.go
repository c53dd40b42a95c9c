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

// reaperName is the reaper's name in a list of processes. The kernel keeps 15
// characters.
const reaperName = "shutdown-reaper"

var reaperComm = []byte(reaperName + "\x00")

// A reaper is this program, started again. The packages that this one depends on
// are initialized before, and so are some of those that it does not depend on.
func init() {
	if control := takeControl(); control != nil {
		runReaper(newLink(control)) // does not return
	}
}

// takeControl returns the socket to the program if this process was started as a
// reaper, else nil. The environment variable alone does not prove that, because a
// program may have inherited it: it must hold the number of a socket's descriptor.
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
	if err := unix.SetNonblock(fd, true); err != nil { // deadlines need it
		return nil
	}
	return os.NewFile(uintptr(fd), "program")
}

// orphanGrace is the longest grace period of a tree whose program has exited.
const orphanGrace = 500 * time.Millisecond

// runReaper starts the child, reaps the tree, and exits with the child's status.
func runReaper(l *link) {
	var r request
	if l.receive(&r) != nil {
		unix.Exit(1)
	}
	// A signal that is sent to all processes, to a group or to a cgroup must not end
	// the reaper before its tree. The signals are caught and not ignored, because
	// the child would inherit the latter. SIGHUP (nohup) and SIGINT stay ignored for the
	// child, if the program ignores them. For all others the runtime has replaced that at
	// the start.
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
		refuse(l, "/proc is not that of this PID namespace: start", err)
	}
	pid, err := startChild(r)
	if err != nil {
		refuse(l, "fork/exec", err)
	}
	releaseFiles(r.Files)

	told := make(chan struct{})
	loop := reaper.New(pid, func(e reaper.Event) { _ = l.send(answer{Event: &e}, writeBound) })
	go obey(l, loop, told, r) // until the process exits
	_ = l.send(answer{Started: pid}, startBound)
	<-told
	result := loop.Run()
	_ = l.send(answer{Done: &result}, answerBound)
	exitAs(result)
}

// obey executes the program's orders, and stops the tree when the program has
// exited.
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
		// If the reaper is killed, at least the child is killed as well.
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
		attr.Env = []string{} // nil would be the reaper's environment
	}
	args := make([]string, len(r.Args))
	for i, arg := range r.Args {
		args[i] = string(arg)
	}
	return syscall.ForkExec(string(r.Path), args, attr)
}

// releaseFiles closes the child's files and leaves its directory: a reader of the
// child's pipes sees their end when the child has exited, and the file system that
// the child was started from can be unmounted.
func releaseFiles(files []bool) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	for fd, open := range files {
		switch {
		case !open: // if the descriptor is in use, then by the reaper
		case fd > 2 || err != nil:
			_ = unix.Close(fd)
		default:
			_ = unix.Dup3(null, fd, 0)
		}
	}
	_ = unix.Close(null)
	_ = unix.Chdir("/")
}

// refuse tells the program why the child was not started, and exits.
func refuse(l *link, doing string, err error) {
	errno := unix.EINVAL
	_ = errors.As(err, &errno)
	_ = l.send(answer{Errno: errno, Doing: doing}, startBound)
	unix.Exit(1)
}
