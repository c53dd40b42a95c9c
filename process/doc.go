// Package process runs a child process and stops it with everything that it has
// started.
//
//	tree, err := process.Start(exec.Command("./start.sh"), process.Options{Grace: 20 * time.Second})
//	if err != nil {
//		return err
//	}
//	m.On(shutdown.Drain, "start.sh", tree.Stop) // a hook as it is
//	return tree.Wait()                          // nil, or its *exec.ExitError
//
// The end of exec.CommandContext is SIGKILL for one process; its children live
// on. Stop sends a signal to each member of the tree, gives them the grace period,
// kills who is left, and returns when it is certain that nobody is.
//
// # Linux
//
// Nobody gets away: grandchildren, daemons in sessions of their own, orphans
// whose parents have gone, processes that fork while they are being stopped. They
// are found by who started them and held by pidfd and start time, not by name or
// by pid alone. No privilege is needed; a member that has become another user,
// whom we may not signal, is a survivor, and everybody else is gone. A member
// that /proc does not show its user (hidepid) gets the signal with the child's
// process group, or when its parent has ended.
//
// Each tree has a reaper: this program, started again from /proc/self/exe. It is
// called shutdown-reaper, makes itself the subreaper of what it starts, and is
// their init: orphans come to it, and when the kernel says that it has no
// children, nobody is left. The program's own children, their exit statuses and
// its other trees have nothing to do with it. It ends as the child has ended, so
// Wait's *exec.ExitError comes from the kernel. It costs 3 to 7 ms at
// the start, where exec.Cmd takes a tenth of that, and 1 MB.
//
// The program itself may end by SIGKILL, or without a Stop: the reaper sees that,
// sends the signal, and kills what is left after half a second, or after
// Options.Grace if that is shorter.
//
// The reaper has a process group of its own and catches what can be caught. So a
// terminal's Ctrl-C, or the SIGTERM that systemd sends to a whole cgroup, does
// not end it before its tree. That SIGTERM does reach the child, though, and at
// the same time as the program, which may still need it. For a program with
// children of its own the unit should say
//
//	[Service]
//	KillMode=mixed
//
// which sends SIGTERM to the program alone, and SIGKILL to all that is left.
//
// # What the reaper asks of the program
//
// The program is started a second time, as far as this package's init function.
// Package variables and init functions that come before it (those of packages
// that it does not depend on run in the order of their import paths) run in the
// reaper too, with an environment that is empty but for SHUTDOWN_PROCESS_REAPER,
// GOMAXPROCS and LD_LIBRARY_PATH. One that ends the program for want of a
// variable makes Start fail; one that starts a server starts it there. Do such
// things in main.
//
// A program that is a library in another one (-buildmode=c-shared) has no
// executable to start again: Start says so. So it does where /proc is not
// mounted or is that of another PID namespace, and where the user that the
// program has become may not execute it.
//
// SysProcAttr is the child's, but for Ptrace and Foreground, which are refused,
// and UseCgroupFD, which puts the reaper into the cgroup with it.
//
// # Elsewhere
//
// On other Unix systems a tree is the child's process group: a daemon that makes
// a session of its own gets away, and if the program is killed the tree lives on.
// On Windows it is a job object, which nobody leaves and which ends with the
// program; the signal is CTRL_BREAK, which reaches console programs that share
// the program's console.
package process
