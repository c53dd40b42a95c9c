// Package shutdown makes a service end well: when it is told to go away,
// whatever it was doing is finished, in order, inside of the time that the
// platform grants.
//
//	func main() {
//		m, err := shutdown.New(shutdown.Config{}) // from here on signals are caught
//		if err != nil {
//			log.Fatal(err)
//		}
//		if err := start(m); err != nil {
//			m.Begin(err) // and not log.Fatal, which would skip every hook
//		}
//		os.Exit(shutdown.ExitCode(m.Wait()))
//	}
//
//	func start(m *shutdown.Manager) error {
//		db, err := sql.Open(driver, source)
//		if err != nil {
//			return err
//		}
//		m.On(shutdown.Close, "db", func(context.Context) error { return db.Close() })
//		m.Go("consumer", consume)
//		return httpserver.Start(m, &http.Server{Addr: ":8080", Handler: mux})
//	}
//
// # The timeline
//
//	signal or Begin                                                Timeout      GracePeriod
//	   |--- Leave ---|                                                |             |
//	   |------ LameDuck (still serving) ------|--- Drain ---|- Close -|   margin    | SIGKILL
//	   AcceptContext done                      WorkContext done ^    ^ Reserve: Close has it, whatever hangs
//
// Leave tells the world: the registry forgets the instance (package discovery),
// readiness fails. Serving goes on, for as long as the lame duck lasts, because
// those who send requests need a moment to hear of it.
//
// Drain takes nothing new and finishes what is in flight: what [Manager.Track]
// and [Manager.Go] have counted, and whatever its hooks wait for. While one of
// its hooks runs, what it lets in is let in. If it is done early, Close begins
// early.
//
// Close releases: the last hook registered goes first, one after another.
//
// There is one deadline. It is counted from the first signal, not from when the
// program gets around to it. No phase has a timeout of its own that could add
// up to more; each may use what is left, less what those behind it need. Every
// hook runs exactly once, whatever the others do. [Manager.Wait] returns by
// Timeout, also if every hook hangs, and its error names what did.
//
// What live requests need, such as a batcher or a queue inside of the process,
// is stopped by a Close hook and not by AcceptContext: requests are still
// coming when that ends.
//
// # Signals
//
// Signals are caught from [New] on, so one that comes during start-up is not
// lost. By default SIGTERM begins the shutdown, and its repetition changes
// nothing: a preStop hook and the kubelet, or an init that forwards to a whole
// group, send it twice. SIGINT begins it too; a second one, half a second later
// or more, is a person who has waited long enough, and forces the end; a third
// is left to the operating system. Config.Signals says otherwise: for a preStop
// hook that sends SIGHUP to pid 1, and a SIGTERM that should end a service at
// once where that hook is missing, it is
//
//	map[os.Signal]shutdown.Action{
//		syscall.SIGHUP:  shutdown.Graceful,
//		syscall.SIGTERM: shutdown.Immediate,
//		syscall.SIGUSR1: shutdown.Dump,
//	}
//
// and the SIGTERM that follows the SIGHUP does not make it less graceful. A
// SIGHUP or SIGINT that was ignored when the program started (nohup) stays
// ignored. SIGKILL and SIGSTOP cannot be caught, and are refused; docker kill
// runs no hook. When the shutdown has ended, signals are the operating system's
// again, so one more ends a main that hangs behind Wait; and a main that never
// reaches Wait dies, at Timeout, of the signal that it did not see.
//
// From the beginning of the shutdown on SIGPIPE is caught as well: a log pipe
// whose reader has gone must not end the process in mid-drain.
//
// # Signals that never arrive
//
// A shell that has the program as its child does not pass SIGTERM on: CMD
// ./app; ..., a start script without exec, a nested sh -c. As PID 1 it ignores
// the signal; below tini, dumb-init, docker run --init or npm it ends on it, and
// everything is killed before it has cleaned up. New looks once whether that,
// or something like it, is how the program was started, and logs a warning that
// says what to do:
//
//	shutdown: PID 1 is /bin/sh ./start.sh, which does not pass SIGTERM on:
//	end the script with `exec ./app`, or use the exec form of CMD
//
// It finds only what is certain; [Manager.Diagnose] says what that is, and
// returns it.
//
// # Kubernetes, and other platforms
//
// A process cannot see its grace period. It is taken from the environment
// variable SHUTDOWN_GRACE_PERIOD, else from Config, else guessed from the
// platform: Kubernetes 30 s, ECS 30 s, Cloud Run 10 s, Fly and Nomad 5 s, a
// systemd unit 90 s, any other container 10 s, else 30 s. The first log line
// and the [Report] say which it was. In a manifest, set it beside the value
// that it repeats:
//
//	terminationGracePeriodSeconds: 60
//	containers:
//	- env:
//	  - {name: SHUTDOWN_GRACE_PERIOD, value: "60"}
//
// Timeout is that less a tenth (5 s at most), Reserve a fifth of Timeout. In
// Kubernetes a service with a Drain hook serves on for 5 s: the removal of its
// endpoint races with its SIGTERM. If the manifest has a preStop sleep instead,
// say so with SHUTDOWN_PRESTOP: the time is taken off the grace period, and
// credited to the lame duck.
//
// Package admin has the probes, a preStop hook that is ours, and a page that shows
// what a shutdown is waiting for.
//
// # Workers: consumers and jobs
//
// A worker started with [Manager.Go] is a source of work. A consumer fetches
// with the context it is given, which is AcceptContext, and handles with
// [Manager.WorkContext] what it has fetched:
//
//	m.Go("consumer", func(ctx context.Context) error {
//		for {
//			msg, err := queue.Fetch(ctx) // nothing new once the shutdown has begun
//			if err != nil {
//				return err // context.Canceled is a success then
//			}
//			if err := handle(m.WorkContext(), msg); err != nil { // the message in hand is finished
//				return err
//			}
//		}
//	})
//
// A job that is told to stop half way must not exit 0, or nobody will run it
// again. If it returns any error but context.Canceled, such as "stopped at row
// 17", that is recorded and [ExitCode] is 1. A job that is done calls
// m.Begin(nil).
//
// # Post-mortem
//
// SIGKILL runs no hook. What a program that was killed could have said has to be
// there before. With Config.Record it is, in a file:
//
//	m, err := shutdown.New(shutdown.Config{Record: "/var/lib/orders/record"})
//
// If the last run left a record that has no end, the next one logs "the last run
// was killed in drain, 22s after signal SIGTERM, waiting for GET /orders/17
// (21.5s)", and [Manager.LastRun] returns the Report of that. One that was
// killed while running was not asked to end: that is an OOM kill, an eviction
// that could not wait, docker kill, a machine that went down, or a panic,
// log.Fatal or os.Exit of its own. What was in flight then is not known, because
// nothing is written while the program runs but a small file at the start.
//
// In a pod an emptyDir outlives the container, and so an OOM kill or a liveness
// probe that failed; what has to outlive the pod belongs on a persistent volume,
// with a path for each pod.
//
//	containers:
//	- volumeMounts:
//	  - {name: post-mortem, mountPath: /var/lib/orders}
//	volumes:
//	- {name: post-mortem, emptyDir: {}}
//
// The file is replaced, never written over, so that it can be read whenever the
// kill comes. It is not synced: it outlives the process, but the last seconds
// may be lost with the machine. A disk that is full, read-only or hangs, and a
// record that is damaged, are lines in the log. Nothing waits for the disk but
// LastRun and the end of the shutdown, for 250 ms each if it does not answer. A
// file at that path which is no record stays as it is.
//
// Of several processes with one path the first has it, which takes a file system
// with locks; when that has ended another takes over, as in a restart that starts
// the new one first. On Linux the boot id and the start time tell a process from
// another with its pid, which in a container is always 1, and a restart of the
// machine from one of the program.
//
// In Kubernetes there is a post-mortem without a record too: if there is a file
// /dev/termination-log, which every container has, a summary of at most 4 KB is
// kept in it from the beginning of the shutdown on, and kubectl describe pod
// shows it as the message of the last state, also after SIGKILL. A message that
// the program itself has written there stays. With another
// terminationMessagePath there is none; with the policy FallbackToLogsOnError the
// summary is shown, and not the logs, because the file is not empty.
//
// # Testing
//
// With an empty Config.Signals and no Config.Record a Manager touches nothing in
// os/signal and starts no goroutine until the shutdown begins, so it can be used
// in a testing/synctest bubble; [Manager.Signal] stands in for signals.
package shutdown
