// Package process starts a child process and stops its whole process tree: the
// child, and every process that it or one of its descendants has started.
//
//	tree, err := process.Start(exec.Command("./start.sh"), process.Options{Grace: 20 * time.Second})
//	if err != nil {
//		return err
//	}
//	m.On(shutdown.Drain, "start.sh", tree.Stop) // Stop is a shutdown hook
//	m.Go("start.sh", func(context.Context) error {
//		return tree.Wait() // nil or an *exec.ExitError, as from cmd.Wait
//	})
//
// exec.CommandContext sends SIGKILL to one process, and the processes that it has
// started live on. Stop sends SIGTERM to each process of the tree, waits for the
// grace period, sends SIGKILL to those that are left, and returns when none is
// left.
//
// # What belongs to a tree
//
// On Linux no process can leave its tree: grandchildren, daemons in sessions of
// their own, orphans, and processes that are forked during the stop all belong to
// it. They are found by their parents, not by name, and a reused PID is not taken
// for a member. No privilege is needed. A member that runs as another user, which
// this program may not signal, is reported in a *SurvivorsError; all others are
// stopped. A member that /proc hides from this user (hidepid) gets the signal
// through the child's process group, or when its parent has exited.
//
// On other Unix systems a tree is the child's process group. A process that makes
// a session of its own leaves it.
//
// On Windows a tree is a job object, which no process can leave. The signal is
// CTRL_BREAK, which reaches console programs that share this program's console.
//
// # If this program is killed
//
// If this program exits without Stop, or is killed by SIGKILL, the tree is stopped
// as well. On Linux it gets the signal, and SIGKILL after half a second, or after
// Options.Grace if that is shorter. On Windows it is killed at once. On other Unix
// systems it lives on.
//
// # Terminals and systemd
//
// The child has a process group of its own. A terminal's Ctrl-C goes to this
// program alone, which stops the tree.
//
// systemd sends its SIGTERM to all processes of a unit. The child gets it at the
// same time as this program, which may still need the child. So a program with
// child processes needs
//
//	[Service]
//	KillMode=mixed
//
// which sends SIGTERM to this program alone, and SIGKILL to what is left.
//
// # The reaper on Linux
//
// Each tree has a reaper: this program, started again from /proc/self/exe under
// the name shutdown-reaper. It makes itself a subreaper and starts the child. The
// kernel makes it the parent of the tree's orphans, and tells it when it has no
// children left, which means that no process of the tree is left. It does not
// touch the other children of this program. It exits with the child's status, so
// the *exec.ExitError that Wait returns comes from the kernel. A reaper takes 1 MB,
// and 3 to 7 ms to start, where exec.Cmd takes a tenth of that
// (go test -bench Start ./process).
//
// The second start of the program goes as far as this package's init function.
// Package variables and init functions that are initialized before it (packages
// that do not depend on each other are initialized in the order of their import
// paths) run in the reaper too. Their environment holds SHUTDOWN_PROCESS_REAPER,
// GOMAXPROCS and LD_LIBRARY_PATH alone. An init function that exits because a
// variable is missing makes Start fail; one that starts a server starts it there
// as well. Do such things in main.
//
// Start returns an error if there is no program to start again: if this code is
// in a library of another program (-buildmode=c-shared), if the program was
// started by the dynamic linker (ld.so program), if /proc is not mounted or
// belongs to another PID namespace, or if the user that the program runs as may
// not execute it.
//
// Signals that this program ignores (signal.Ignore, nohup) are ignored in the child only if
// they are SIGHUP or SIGINT. With exec.Cmd, the child ignores all of them.
//
// cmd.SysProcAttr applies to the child. Ptrace and Foreground are refused.
// UseCgroupFD puts both the reaper and the child into the cgroup.
package process
