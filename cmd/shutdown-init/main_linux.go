package main

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

func main() { os.Exit(run()) }

const (
	exitUsage     = 2
	exitCannotRun = 126 // the codes of a shell
	exitNoCommand = 127
	exitBySignal  = 128 // plus the number of the signal
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
			say("become a subreaper: %v", err)
			return exitCannotRun
		}
	}
	if err := reaper.CheckProc(); err != nil {
		say("find processes in /proc: %v", err)
		return exitCannotRun
	}
	signals := catch() // before the child starts, so that none is lost
	pid, err := start(c.command)
	if err != nil {
		say("%v", err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return exitNoCommand
		}
		return exitCannotRun
	}
	i := &initProcess{config: c, child: pid, forwarded: make(map[int]bool)}
	i.reaper = reaper.New(pid, i.report)
	go func() { // until the process exits
		for sig := range signals {
			i.received(sig.(unix.Signal))
		}
	}()
	return i.ended(i.reaper.Run())
}

// start starts the command in a process group of its own, so that it does not get a
// terminal's Ctrl-C twice. If this process has the terminal, the command gets it.
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
		Files: []uintptr{0, 1, 2}, // inherited descriptors without close-on-exec stay open, too
		Sys:   attr,
	})
	if err != nil {
		return 0, &fs.PathError{Op: "exec", Path: path, Err: err}
	}
	return pid, nil
}

// catch catches the signals that are forwarded.
func catch() <-chan os.Signal {
	var sigs []os.Signal
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP: // cannot be caught
		case unix.SIGCHLD: // for the reaper
		case unix.SIGURG: // the Go runtime's, for preemption
		case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP: // faults of this process
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
