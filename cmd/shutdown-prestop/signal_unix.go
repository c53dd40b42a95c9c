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

// sendSignal sends a signal to a process and waits until it has exited, or until wait
// has passed.
func sendSignal(name string, pid int, wait time.Duration) error {
	sig, err := signalNamed(name)
	if err != nil {
		return err
	}
	switch {
	case pid <= 0: // for kill(2) that is a group, or all processes
		return usagef("--pid %d: not the ID of a process", pid)
	case pid == os.Getpid():
		return usagef("--pid %d: that is shutdown-prestop itself", pid)
	}
	process := watch(pid) // before the signal, so that the PID cannot have been reused
	defer process.close()
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("send %s to pid %d: %w", signame.Name(sig), pid, err)
	}
	return process.await(wait)
}

// signalNamed accepts HUP, SIGHUP, sighup and 1.
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
		return 0, usagef("--signal %q: no such signal; examples are HUP, TERM and USR1", name)
	case syscall.SIGKILL, syscall.SIGSTOP:
		return 0, usagef("--signal %s: no program can catch it, so it starts no shutdown", signame.Name(sig))
	}
	return sig, nil
}

// pollInterval is the time between two checks without a pidfd.
const pollInterval = 20 * time.Millisecond

// poll waits for the end of a process that is not a child, without a pidfd.
func poll(pid int, wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(min(pollInterval, time.Until(end))) {
		if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
			return
		}
	}
}
