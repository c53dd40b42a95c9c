// Package shutdown implements graceful shutdown: stop accepting, finish in-flight
// work, run cleanup hooks, and exit before the platform sends SIGKILL.
//
//	func main() {
//		os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start)))
//	}
//
//	func start(m *shutdown.Manager) error {
//		db, err := sql.Open(driver, source)
//		if err != nil {
//			return err // begins the shutdown: what is open is closed, the exit code is 1
//		}
//		m.On(shutdown.Close, "db", shutdown.Closer(db))
//		m.Go("consumer", consume)
//		_, err = httpserver.Start(m, &http.Server{Addr: ":8080", Handler: mux})
//		return err
//	}
//
// [Run] is [New], start and [Manager.Wait]. Programs whose main belongs to somebody
// else call these, and [Manager.Begin] where they would call log.Fatal, which runs
// no hook.
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
// Drain takes nothing new and finishes what is in flight: what [Manager.Track],
// [Manager.Go] and [Manager.Job] have counted, and whatever its hooks wait for.
// Work admitted while a Drain hook runs is waited for. If Drain is done early,
// Close begins early, and WorkContext lives on until Close has ended.
//
// The hooks of Drain run at the same time. What the handlers of a server call and
// drains itself has to come after that server: another server with its DrainAfter,
// any other hook with [Manager.WaitFor]. Both take what Drained of a server returns:
//
//	m.On(shutdown.Drain, "mailer", func(ctx context.Context) error {
//		m.WaitFor(ctx, "mailer", srv.Drained())
//		return mailer.Stop(ctx)
//	})
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
// coming when that ends. [Manager.Reached] tells when a phase begins: good-byes to
// long-lived connections are said when Drain begins, not earlier.
//
// A Close hook flushes with the context that it is given. [Closer] makes one of a
// Close method. What may fail without harm, such as the flush of a collector that
// may be down, is [BestEffort]: it has a limit of its own, and its error is a
// warning.
//
// # What was cut off
//
// Work that is in flight when WorkContext ends, because the deadline is near or the
// end was forced, or that is let in after that, was cut off. Whatever it does then,
// an answer 200 included, it may have given up half way, and is never called
// finished: Wait's error names it and is [ErrTimeout] or [ErrForced], the exit code
// is 1, or 128+n if signal n forced the end, and [Report].CutOff lists all of it.
// What has ended before is finished.
//
// # Signals
//
// Signals are caught from [New] on, so one that comes during start-up is not
// lost. By default SIGTERM begins the shutdown, and its repetition changes
// nothing: a preStop hook and the kubelet, or an init that forwards to a whole
// group, send it twice. SIGINT begins it too; a second one, half a second later
// or more, is a person who has waited long enough, and forces the end; a third
// is left to the operating system. After a SIGTERM one SIGINT forces. Where stderr
// is a terminal, a log line says so. Config.Signals says otherwise: for a preStop
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
// # Nobody else may catch the same signals
//
// A signal goes to every part of the process that has asked for it. Another one
// that acts on SIGTERM closes its part of the program while requests still need it,
// or ends the process, and this package cannot know. Turn the others off, and stop
// them with a hook:
//
//   - go.uber.org/fx: app.Start and app.Stop, not Run, Done or Wait.
//   - nats-server, embedded: Options.NoSigs, or it exits 0 in mid-drain.
//   - go-kratos: kratos.Signal with a signal that nobody sends (without one it
//     catches all), and app.Stop.
//   - hertz: h.Run and h.Shutdown, not Spin. kitex: server.WithExitSignal.
//   - asynq: Start and Shutdown, not Run. Temporal: Start and Stop, or a channel of
//     your own instead of worker.InterruptCh.
//   - controller-runtime, apiserver: AcceptContext, not SetupSignalHandler, whose
//     second signal exits 1.
//   - echo v5: StartConfig.Start with a context, or an http.Server; v4 catches none.
//   - oklog/run, watermill, samber/do: leave their signal handler out.
//   - dubbo-go: graceful_shutdown.WithoutInternalSignal, or it exits 0.
//   - go-zero catches signals when it is imported, and sends itself one more after
//     5.5 s; nothing turns that off. Make proc.ShutdownConf longer than the drain.
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
// systemd unit 90 s, any other container 10 s, a terminal 10 s, else 30 s. The first log line
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
// # Workers and jobs
//
// A worker started with [Manager.Go] is a source of work that serves until it is
// told to stop. It fetches with the context it is given, which is AcceptContext,
// and handles with [Manager.WorkContext] what it has fetched:
//
//	func consume(ctx context.Context) error {
//		m, _ := shutdown.FromContext(ctx)
//		for {
//			msg, err := queue.Fetch(ctx) // nothing new once the shutdown has begun
//			if err != nil {
//				return err // context.Canceled is a success then
//			}
//			if err := handle(m.WorkContext(), msg); err != nil {
//				return fmt.Errorf("message %s: %w", msg, err)
//			}
//		}
//	}
//
// A job started with [Manager.Job] is why the program runs. When the last one has
// returned, the program ends. One that is told to stop half way must not exit 0, or
// nobody runs it again: any error means that it did not finish, and exit code 1.
//
//	func importRows(ctx context.Context) error {
//		for i, row := range rows {
//			if err := ctx.Err(); err != nil {
//				return fmt.Errorf("stopped at row %d: %w", i, err)
//			}
//			if err := insert(row); err != nil {
//				return fmt.Errorf("row %d: %w", i, err)
//			}
//		}
//		return nil
//	}
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
// (21.5s)", and [Manager.LastRun] returns the Report of that. If the kill came
// before its time, the real grace period is shorter than the Manager was told, or
// has guessed, and the line says what to set. One that was
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
// Package shutdowntest gives a test a Manager. With [NoSignals] and no
// Config.Record a Manager touches nothing in os/signal and starts no goroutine
// until the shutdown begins, so it can be used in a testing/synctest bubble;
// [Manager.Signal] stands in for signals.
package shutdown
