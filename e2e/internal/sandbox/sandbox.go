//go:build linux

// Package sandbox runs a function of this program in namespaces of its own: network,
// mounts, processes, IPC and host name. What the function starts and mounts ends with it,
// and so do its routes, rules and network interfaces. What has no namespace, such as cgroups
// and some sysctls, does not.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const variable = "SHUTDOWN_E2E_SANDBOX"

// The steps to the function. Each is a process that executes the next one.
const (
	enter = "enter" // PID 1 makes the mounts
	run   = "run"   // a child of PID 1, which is shutdown-init now
)

// unwind is how long a function has to return after its context has ended.
const unwind = time.Minute

// Run runs this program again with the arguments, in namespaces of its own. There
// [Inside] is true in its main. init is the path of the program shutdown-init, which is
// PID 1. The end of ctx stops it with SIGTERM.
func Run(ctx context.Context, init string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, slices.Concat([]string{init}, args)...)
	cmd.Env = append(os.Environ(), variable+"="+enter)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL, // with PID 1 all others end
		Setpgid:    true,            // Ctrl-C is for this process, which sends SIGTERM
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * unwind
	return cmd.Run()
}

// Inside reports whether this process is to run the function. In the steps before, it
// does not return. Call it first in main.
func Inside() bool {
	switch os.Getenv(variable) {
	case enter:
		err := becomeInit(os.Args[1], os.Args[2:])
		fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
		os.Exit(1)
	case run:
		return true
	}
	return false
}

func becomeInit(init string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts cannot be made private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount of /proc: %w", err)
	}
	// Daemons have sockets and locks in /run, and containerd makes a folder in /opt.
	for _, path := range []string{"/run", "/opt"} {
		if err := unix.Mount("tmpfs", path, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount of %s: %w", path, err)
		}
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := os.Setenv(variable, run); err != nil {
		return err
	}
	command := slices.Concat([]string{init, "--grace", unwind.String(), "--to", "child", "--", self}, args)
	return errors.Join(fmt.Errorf("exec of %s", init), unix.Exec(init, command, os.Environ()))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}
