//go:build !processgroup

package process

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

// exitAs ends the reaper with the child's exit code, or by the child's signal, so
// that the program gets the child's status from the kernel.
func exitAs(r reaper.Result) {
	if !r.LeaderEnded {
		unix.Exit(128 + int(unix.SIGKILL))
	}
	if !r.Status.Signaled() {
		unix.Exit(r.Status.ExitStatus())
	}
	sig := r.Status.Signal()
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // if a core is wanted, the child has dumped it
	runtime.LockOSThread()
	// The default action, without flags and mask, is all zeros on every
	// architecture. os/signal.Reset would leave Go's own handler in place.
	var action [64]byte
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil)
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
	unix.Exit(128 + int(sig)) // the signal did not end it: the code that a shell gives
}
