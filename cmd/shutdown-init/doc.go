// Command shutdown-init runs a command as PID 1 of a container, forwards signals to
// it and to all of its descendants, and exits when all of them have exited. It is
// for start scripts that do not exec their program, and for programs that cannot
// stop themselves.
//
//	COPY shutdown-init /
//	ENTRYPOINT ["/shutdown-init", "--grace", "25s", "--"]
//	CMD ["./start.sh"]
//
// A shell that runs a program does not forward SIGTERM to it. And if the shell exits
// on SIGTERM, the container stops with it, while the program is still cleaning up.
// With shutdown-init the program gets SIGTERM too, and the container runs until the
// program has exited. Processes that are left after the grace period are killed. It
// logs on stderr what it waits for. It runs on Linux only.
//
// # Usage
//
//	shutdown-init [--grace 25s] [--ok 143] [--signal TERM=HUP] [--to tree|child] -- command [argument ...]
//
// --grace is the time from SIGTERM, SIGINT or SIGQUIT, or from a signal that is
// forwarded as one of them, until the processes that are left get SIGKILL. It has to
// be shorter than the platform's grace period. The default is the environment
// variable SHUTDOWN_GRACE_PERIOD, less SHUTDOWN_PRESTOP if that is set, and less a
// twentieth, but at most 2.5 s. Without SHUTDOWN_GRACE_PERIOD it is 9.5s: Docker's 10 s
// less a twentieth. A program that uses package shutdown keeps a tenth by default, so
// it stops by itself before that.
//
// --ok 143 makes the exit code 143 of the command itself count as 0, unless a process had
// to be killed. 143 is the code of a shell that was ended by SIGTERM. The flag may be
// repeated or have a list: 143,129.
//
// --signal TERM=HUP forwards SIGTERM as SIGHUP, for a program that stops on another
// signal than the platform sends. It may be repeated. Signals are written as TERM,
// SIGTERM, 15 or RTMIN+3. SIGKILL and SIGSTOP are refused.
//
// --to tree, the default, forwards signals to all processes. A process without a
// handler for SIGHUP or SIGUSR1 is ended by it. --to child forwards them to the
// command alone, for a command that stops its workers in an order of its own, such as
// a program that uses package process. The processes that are left when the command
// has exited then get the signal that started the stop.
//
// # Exit codes
//
// The exit code tells a failure of the command, and of the processes that have outlived
// it, in the order of their ends. It is the first code that is neither 0 nor that of a
// signal that was forwarded. If there is none, it is 137 if processes had to be killed, and
// otherwise the command's own code. Only to that code --ok applies. The code of a process
// that signal n has ended is 128+n.
//
//	command         what it has left   without --ok   with --ok 143
//	by SIGTERM      exits with 0       143            0
//	by SIGTERM      by SIGTERM         143            0
//	by SIGTERM      exits with 1       1              1
//	by SIGTERM      by SIGABRT         134            134
//	by SIGTERM      is killed          137            137
//	is killed                          137            137
//	exits with 3    exits with 4       3              3
//	exits with 0    exits with 7       7              7
//	exits with 0    by SIGTERM         0              0
//
// The exit code is 127 if the command was not found, 126 if it cannot be run, and 2 if the
// flags are wrong.
//
// # Signals
//
// The SIGTERM that starts the stop is sent to each process once, also to those that
// become orphans later. Another SIGTERM is not forwarded: a preStop hook or another
// init may send one as well, and it would end what a trap handler has started to
// clean up. Every other signal is forwarded each time it arrives, except SIGCHLD,
// SIGPIPE, SIGURG, SIGTTIN and SIGTTOU.
//
// The command has a process group of its own. If shutdown-init has the terminal on
// stdin, it passes it to the command, which can then read from it and gets its
// Ctrl-C. Ctrl-Z stops the command alone. Then Ctrl-C has no effect until shutdown-init gets
// SIGCONT, which continues the command, or a signal that starts the stop.
//
// # Processes that the command leaves
//
// Orphans become children of shutdown-init, which reaps them: as PID 1, or under
// another init as a subreaper. It needs the /proc of its PID namespace.
//
// If the command exits with 0, or a code of --ok, and processes are left, they are
// daemons that it has started, and shutdown-init waits for them. If it fails, they
// are stopped, so that the container exits and its supervisor sees the failure.
//
// # Other inits
//
// If the program handles SIGTERM and is started by exec, any init will do, and the
// platform has one (docker run --init). These do what shutdown-init does not:
//
//   - tini is 24 KB and needs no /proc. It can ask for a signal when its parent
//     exits (-p) and warn about zombies that it reaps (-w). docker run --init runs
//     it.
//   - dumb-init is as small. It can drop signals (--rewrite 15:0), and suspends and
//     continues with its child on SIGTSTP and SIGCONT.
//   - catatonit can be the pause process of a pod (-P). podman run --init runs it.
//   - smell-baron runs several commands at once. It waits for all processes too, for
//     a fixed ten seconds.
//   - s6-overlay and others are supervisors: they restart what has exited, log, and
//     start services in order.
//
// With a start script without exec, and a program that needs a second to clean up,
// the clean-up does not run under tini, tini -g, dumb-init and catatonit: they exit
// when the script does, and the kernel kills the rest. None of them exits if the
// command ignores the signal. go test -v ./cmd/shutdown-init prints the tables.
package main
