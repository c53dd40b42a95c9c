// Command shutdown-init is the init of a container whose program cannot stop
// itself, or whose start script does not exec.
//
//	COPY shutdown-init /
//	ENTRYPOINT ["/shutdown-init", "--grace", "25s", "--"]
//	CMD ["./start.sh"]
//
// It runs a command, forwards signals to it and to everything that it has
// started, and ends when all of that has ended: a script that dies of its
// SIGTERM does not take down an app that is still cleaning up. What is left when
// the grace period is over is killed. It says on stderr what it waits for.
//
// # Usage
//
//	shutdown-init [--signal TERM=HUP] [--grace 25s] [--to tree|child] [--ok 143] -- command [argument ...]
//
// --signal TERM=HUP forwards the one signal as the other, for a program that
// stops on another signal than the platform sends. It may be repeated. Names are
// TERM, SIGTERM, 15 or RTMIN+3. SIGKILL and SIGSTOP are refused.
//
// --grace is the time from SIGTERM, SIGINT or SIGQUIT, or from a signal that is
// forwarded as one of them, until SIGKILL for what is left. It has to be shorter
// than what the platform grants, or the platform's SIGKILL comes first. Without
// the flag it is the environment's SHUTDOWN_GRACE_PERIOD, less SHUTDOWN_PRESTOP
// if that is set, and less a twentieth, 2.5 s at most; without it, 9.5s, which is
// Docker's ten seconds less a twentieth. So a program with package shutdown, which
// by default leaves twice as much, comes to its own end before.
//
// --to tree, the default, forwards signals to all processes; a process without a
// handler for SIGHUP or SIGUSR1 ends by it. --to child forwards them to the
// command alone, for one that stops its workers in an order of its own (a program
// that uses package process, for example); those who are there when it has ended
// then get the signal that began the stop.
//
// --ok 143 is an exit code of the command that counts as 0, such as that of a
// shell that has died of the SIGTERM it was sent. It may be repeated or be a list,
// 143,129.
//
// # What it does
//
// As pid 1 it gets the orphans of the container; under another init, or in a
// terminal, it makes itself a subreaper. It reaps them all. It needs the /proc of
// its PID namespace.
//
// The SIGTERM that begins the stop goes to each process once, also to one that
// loses its parent later; its repetition is not forwarded: a preStop hook or an
// init above sends one of its own, and it would end what a trap handler has
// started to clean up. Every other signal is forwarded as often as it comes.
// SIGCHLD, SIGPIPE, SIGURG, SIGTTIN and SIGTTOU are not.
//
// If the command ends with 0 (or a code of --ok) and leaves processes behind,
// they are daemons that it was to start, and are waited for. If it fails, what it
// leaves is stopped, so that whoever supervises the container hears of it.
//
// The command has a process group of its own. If the terminal on stdin is ours,
// it gets it, so that it can read, and Ctrl-C goes to it.
//
// # Exit codes
//
// The command's own; 128+n if signal n ended it, so 137 if it was killed at the
// end of the grace period; 0 for --ok. 127 if there is no such command, 126 if it
// cannot be run, 2 if the flags are wrong.
//
// # Other inits
//
// If the program handles SIGTERM and is started by exec, any of them will do, and
// the platform's own (docker run --init) is at hand. What these do, and this does
// not:
//
//   - tini is 24 KB and needs no /proc. It can ask for a signal when its parent
//     dies (-p) and warn about zombies that it reaps (-w), and is what docker run
//     --init runs.
//   - dumb-init is as small. It can drop signals (--rewrite 15:0), and suspends
//     and continues with its child on SIGTSTP and SIGCONT.
//   - catatonit can be the pause process of a pod (-P), and is what podman run
//     --init runs.
//   - smell-baron runs several commands at once. It waits for all processes, too,
//     for ten seconds that cannot be changed.
//   - s6-overlay and its kind supervise: they start again what has ended, log,
//     and know an order. This is none of that.
//
// A start script without exec, and an app that needs a second to clean up: with
// tini, with tini -g, dumb-init and catatonit the clean-up does not run, because
// they end when the script does, and the kernel kills the rest. None of them ends
// if the command ignores the signal. go test -v ./cmd/shutdown-init draws the
// tables.
package main
