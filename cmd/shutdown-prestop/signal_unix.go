//go:build unix

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/signame"
)

// sendSignal sends a signal to a process, and waits for its end or until the
// time is up.
func sendSignal(name string, pid int, wait time.Duration) error {
	sig, err := signalNamed(name)
	if err != nil {
		return err
	}
	switch {
	case pid <= 0: // to kill(2) that is a whole group, or everybody
		return usagef("--pid %d: it is the id of one process", pid)
	case pid == os.Getpid():
		return usagef("--pid %d: that is shutdown-prestop itself", pid)
	}
	end := watch(pid) // before the signal, so that no other process can have got the pid
	defer end.forget()
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("send %s to pid %d: %w", signame.Name(sig), pid, err)
	}
	return end.await(wait)
}

// signalNamed takes HUP, SIGHUP, sighup and 1.
func signalNamed(name string) (syscall.Signal, error) {
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	sig := unix.SignalNum(full)
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= 64 {
		sig = syscall.Signal(n)
	}
	switch sig {
	case 0:
		return 0, usagef("--signal %q: no such signal; HUP, TERM and USR1 are some", name)
	case syscall.SIGKILL, syscall.SIGSTOP:
		return 0, usagef("--signal %s: no program can catch it, so it begins no shutdown", signame.Name(sig))
	}
	return sig, nil
}

// lookAgain is for where the end of a process is no event.
const lookAgain = 20 * time.Millisecond

// poll waits for the end of a process that is not ours, without a pidfd.
func poll(pid int, wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(min(lookAgain, time.Until(end))) {
		if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
			return
		}
	}
}
