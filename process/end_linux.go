//go:build !processgroup

package process

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

// endAs ends this process as the child has ended, by its code or by its signal,
// so that whoever started us gets from the kernel what it would have got from
// the child.
func endAs(r reaper.Result) {
	if !r.LeaderEnded {
		unix.Exit(128 + int(unix.SIGKILL))
	}
	if !r.Status.Signaled() {
		unix.Exit(r.Status.ExitStatus())
	}
	sig := r.Status.Signal()
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // the child has dumped its core, if anybody wants one
	runtime.LockOSThread()
	// All zero is the default action, with no flags and no mask, on every
	// architecture. os/signal would leave Go's own handler in its place.
	var action [64]byte
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil)
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
	unix.Exit(128 + int(sig)) // as a shell would say it
}
