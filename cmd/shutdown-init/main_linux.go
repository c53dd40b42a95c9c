package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

func main() { os.Exit(run()) }

const (
	exitUsage      = 2
	exitCannotRun  = 126 // as a shell has them
	exitNoCommand  = 127
	exitBySignal   = 128 // and the number of the signal
	exitLeftBehind = exitBySignal + int(unix.SIGKILL)
)

func run() int {
	c, err := parse(os.Args[1:], os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	defer startSaying()()
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			say("becoming a subreaper: %v", err)
			return exitCannotRun
		}
	}
	if err := reaper.CheckProc(); err != nil {
		say("looking for processes: %v; is /proc mounted?", err)
		return exitCannotRun
	}
	signals := catch() // before there is a child that one could be meant for
	pid, err := start(c.command)
	if err != nil {
		say("%v", err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return exitNoCommand
		}
		return exitCannotRun
	}
	i := &initProcess{config: c, child: pid}
	i.reaper = reaper.New(pid, i.report)
	go func() { // until the process ends
		for sig := range signals {
			i.received(sig.(unix.Signal))
		}
	}()
	return i.exitCode(i.reaper.Run())
}

// start runs the command in a process group of its own, so that a terminal's
// Ctrl-C does not come to it twice. If we have the terminal, it gets it.
func start(command []string) (pid int, err error) {
	path, err := exec.LookPath(command[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return 0, err
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	if group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
		attr.Foreground, attr.Ctty = true, 0
	}
	pid, err = syscall.ForkExec(path, command, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2}, // and whatever else was inherited
		Sys:   attr,
	})
	if err != nil {
		return 0, &fs.PathError{Op: "exec", Path: path, Err: err}
	}
	return pid, nil
}

// catch catches what can be forwarded.
func catch() <-chan os.Signal {
	var sigs []os.Signal
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP: // nobody can
		case unix.SIGCHLD: // the reaper's
		case unix.SIGURG: // Go's own, for pre-emption
		case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP: // about ourselves
		default:
			if !signal.Ignored(sig) { // nohup
				sigs = append(sigs, sig)
			}
		}
	}
	c := make(chan os.Signal, 64)
	signal.Notify(c, sigs...)
	return c
}

func count(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// list is "2 processes: 7 ./app (1.2s), 9 sleep 600 (0s)".
func list(n int, processes []reaper.Process) string {
	var b strings.Builder
	b.WriteString(count(n))
	for i, p := range processes {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&b, "%s%d %s (%v)", separator, p.Pid, p.Command, p.Age.Round(100*time.Millisecond))
	}
	if more := n - len(processes); more > 0 && len(processes) > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}
