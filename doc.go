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
// [Run] is [New], start and [Manager.Wait]. If a framework owns main, call New first and
// Wait last, and [Manager.Begin] with the error instead of log.Fatal, which skips hooks.
//
// # Phases
//
//	signal or Begin                                          Timeout     GracePeriod
//	   |                                                        |             |
//	   |- Leave, for the LameDuck -|-- Drain --|---- Close -----|   margin    | SIGKILL
//	   |  (still serving)          |        ^  |
//	   AcceptContext ends    WorkContext ends  from here on, Reserve is kept for Close
//
// With a grace period of 30 s in Kubernetes: the lame duck until 5 s, WorkContext until
// 19.6 s, Drain until 21.6 s, Close until 27 s, SIGKILL at 30 s. Everything ends as soon
// as the work has ended, but for the lame duck.
//
// A shutdown has three phases. Hooks are registered for one of them with [Manager.On].
//
//   - Leave: deregister and fail readiness while still serving. The service goes on
//     serving for the lame duck, because clients and load balancers need a moment to
//     learn that it is leaving. Workers stop fetching at once.
//   - Drain: stop accepting, and finish in-flight work, which is what [Manager.Track],
//     [Manager.Go] and [Manager.Job] count and what Drain hooks wait for. Work that is
//     admitted while a Drain hook runs is waited for. When all of it is done, Close
//     begins at once.
//   - Close: release resources, the last registered first, one after another. If work was
//     cut off, its goroutines may still run: a Close hook must not close a channel that
//     they send on.
//
// There is one deadline. It is counted from the first signal. Leave and Drain may use
// Timeout less Reserve, and Close may use all that is left: Config.Reserve is kept for it
// even if earlier phases hang. Every hook runs exactly once, whatever the others do. A hook
// that does not return in time is abandoned and reported by name, and [Manager.Wait]
// returns by Config.Timeout.
//
// # Which phase, which context, for what
//
//	what                                where                                    context
//	deregister, fail readiness          On(Leave), package discovery, admin      the hook's
//	HTTP and gRPC servers               httpserver.Start, grpcserver             requests have WorkContext
//	close WebSockets, SSE streams       Reached(Drain)                           the request's
//	fetch from a queue, tick            Go                                       AcceptContext, as given to run
//	handle what was fetched             inside of Go                             WorkContext
//	the purpose of the program          Job                                      AcceptContext, as given to run
//	other in-flight work                Track                                    WorkContext
//	stop what requests do not need      On(Drain)                                the hook's
//	stop what requests need: a mailer,  On(Close), or On(Drain) with WaitFor     the hook's
//	a batcher, an internal queue
//	close databases, files, clients     On(Close, name, Closer(c))               none
//	flush buffers                       On(Close)                                the hook's
//	flush what may fail: traces         On(Close, name, BestEffort(limit, f))    the one given to f
//
// AcceptContext ends when the shutdown begins: start nothing new. WorkContext ends
// before the end of Drain (a fifth of Drain, at most 2 s), or when the end is forced: give
// up. If the drain ends in time, WorkContext lives until Close has ended.
//
// Drain hooks run at the same time, while requests are in flight. A server that is called
// by the handlers of another one has to drain after that: DrainAfter of the servers'
// handles. Any other Drain hook calls [Manager.WaitFor]:
//
//	m.On(shutdown.Drain, "mailer", func(ctx context.Context) error {
//		m.WaitFor(ctx, "mailer", srv.Drained())
//		return mailer.Stop(ctx)
//	})
//
// What workers use, too, is stopped in Close.
//
// # Workers and jobs
//
// A worker, such as a consumer or a ticker, runs until it is told to stop. An error that it
// returns before that ends the program, so it handles what need not, such as a bad message.
// It fetches with the context that it is given, and handles with [Manager.WorkContext]
// what it has fetched:
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
// Once the shutdown has begun, a worker returns nil or its context's error; anything else is
// a failure. If a client library returns an error of its own then, such as "reader closed",
// return ctx.Err() instead.
//
// A job is the purpose of the program, such as a migration. When the last one has
// returned, the program ends; if it also has a server, after the lame duck. A job that is
// told to stop half way must not exit 0, because nobody would run it again: any error that
// it returns means that it did not finish, and the exit code is 1.
//
//	func importRows(ctx context.Context) error {
//		for i, row := range rows {
//			if err := ctx.Err(); err != nil {
//				return fmt.Errorf("stopped at row %d: %w", i, context.Cause(ctx)) // says by which signal
//			}
//			if err := insert(row); err != nil {
//				return fmt.Errorf("row %d: %w", i, err)
//			}
//		}
//		return nil
//	}
//
// # The result
//
// [Manager.Wait] returns nil, and [ExitCode] is 0, only if the shutdown was requested and
// everything ended well. Work that is in flight when WorkContext ends by the deadline or
// by force, or that is admitted after that, was cut off. It may have given up half way.
// So it never counts as finished, even if it answers 200 afterwards. Wait's error names
// it, and errors.Is(err, ErrTimeout) or errors.Is(err, ErrForced) is true. The exit code is
// 1, or 128+n if signal n forced the end. [Report].CutOff lists all of it.
//
// # Signals
//
// [New] and Run catch signals from the start, so that none is lost during start-up.
//
//   - SIGTERM begins the shutdown. A second one changes nothing: a preStop hook and the
//     kubelet, or an init that signals a process group, send two.
//   - SIGINT begins it, too. If a signal has begun it, half a second ago or more, a SIGINT
//     forces the end: what is in flight is cut off, and only Close hooks run. The next
//     one, again half a second later, ends the process at once.
//   - SIGPIPE is caught from the beginning of the shutdown on, because a log pipe that has
//     lost its reader would end the process.
//
// Most programs leave Config.Signals nil. It is a table. For example, if a preStop hook
// sends SIGHUP, and SIGTERM is to end a service at once that has no such hook:
//
//	map[os.Signal]shutdown.Action{
//		syscall.SIGHUP:  shutdown.Graceful,
//		syscall.SIGTERM: shutdown.Immediate,
//		syscall.SIGUSR1: shutdown.Dump,
//	}
//
// SIGKILL and SIGSTOP cannot be caught. SIGHUP and SIGINT stay ignored if they were
// ignored when the program started: by nohup, or by a script that starts it with "&", which
// ignores SIGINT. After the end the Manager stops catching signals, so one more ends a main
// that hangs.
//
// # Nothing else may act on the same signals
//
// A signal goes to every part of the process that has asked for it. A module that acts on
// SIGTERM by itself closes its part of the program while requests still need it, or ends
// the process, and a Manager cannot detect that. go.uber.org/fx, an embedded
// nats-server, go-kratos, go-zero, hertz, asynq, controller-runtime and others do.
// docs/signal-handlers.md in the repository lists them, and how to turn each off.
//
// # Signals that never arrive
//
// A shell does not pass SIGTERM on to the program that it runs: CMD ./app; ..., a start
// script without exec, a nested sh -c. As PID 1 it ignores the signal. Below tini,
// dumb-init, docker run --init or npm it ends, the container stops, and everything else is
// killed. New detects such a start in a container, on Linux, and logs a warning that says
// what to do. On a developer's machine, where the shell is not below PID 1 like this, there
// is none.
//
//	shutdown: PID 1 is /bin/sh ./start.sh, which does not pass SIGTERM on:
//	end the script with `exec ./app`, or use the exec form of CMD
//
// # Grace period
//
// A process cannot see its grace period. It is taken from the environment variable
// SHUTDOWN_GRACE_PERIOD, else from Config, else guessed from the platform: Kubernetes
// 30 s, ECS 30 s, Cloud Run 10 s, Fly and Nomad 5 s, AWS Lambda 0.3 s, a systemd unit
// 90 s, any other container 10 s, Windows 5 s, a terminal 10 s, else 30 s. (Lambda sends
// SIGTERM only to functions with an extension. Windows kills 5 s after a console is
// closed, and at logoff and shutdown.) The first log line and the [Report] say where it
// comes from. In a manifest, set it beside the value that it repeats:
//
//	terminationGracePeriodSeconds: 60
//	containers:
//	- env:
//	  - {name: SHUTDOWN_GRACE_PERIOD, value: "60"}
//
// Timeout is the grace period less a tenth (5 s at most), Reserve a fifth of Timeout. In
// Kubernetes a service with a Drain hook (each server has one) has a lame duck of 5 s,
// because the removal of its endpoint races with its SIGTERM. Elsewhere there is none: set
// Config.LameDuck behind a load balancer or a registry; docs/load-balancers.md in the
// repository says how long. If the manifest has a preStop sleep instead, set
// SHUTDOWN_PRESTOP to its length. Package admin has probes and a preStop hook.
//
// # Post-mortem
//
// SIGKILL runs no hook. With Config.Record the program keeps a file that says how far it
// has come. If the last run did not end, the next one logs "the last run was killed in
// drain, 22s after signal SIGTERM, waiting for GET /orders/17 (21.5s)", and
// [Manager.LastRun] returns its Report. If the kill came early, the line says what the real
// grace period is, provided that it was the platform that killed. A run that was killed
// while running had not been asked to stop: an OOM kill, docker kill, a panic, log.Fatal or
// os.Exit. What was in flight then is not known.
//
// In a pod, keep the file on an emptyDir, which outlives the container. The file is
// replaced and not synced: it outlives the process, and mostly the machine. Errors of the
// disk, a damaged record and a second process that uses the same path are log lines; only
// LastRun and the end of the shutdown wait for the disk, for at most 250 ms a write. A file
// that is not a shutdown record is left unchanged.
//
// In Kubernetes there is a post-mortem without a record, too: kubectl describe pod shows a
// summary as the message of the last state, also after SIGKILL. It is kept in
// /dev/termination-log from the beginning of the shutdown on, unless the program has
// written there itself.
//
// # Troubleshooting
//
//   - Ctrl-C does nothing: the shutdown waits for something, and the log says for what,
//     once a second. Ctrl-C again, after half a second, forces the end. Without a log line
//     "shutdown: started" the signal did not arrive: see the warnings at the start. A
//     program that a script has started with "&" ignores SIGINT: send SIGTERM.
//   - Exit code 0 although work was left: the work was not counted. Nothing waits for a plain
//     goroutine: use Go, or Track. httpserver and grpcserver count requests. An interrupted
//     job must be a Job.
//   - The program ends at once: main did not call Wait, start or a worker returned an error
//     (the log has it), or another module acts on the signal.
//   - Killed before Close: the real grace period is shorter than the guess. The next start
//     says so if Config.Record is set. Set SHUTDOWN_GRACE_PERIOD.
//   - Each test takes 5 s: it runs in a pod, where a server has a lame duck. Use package
//     shutdowntest, or set LameDuck to -1.
//
// # Testing
//
// Package shutdowntest gives a test a Manager. With [NoSignals] and no Config.Record a
// Manager touches nothing in os/signal, and until the shutdown begins it starts no goroutine
// but that which writes a warning, so it can be used in a testing/synctest bubble.
// [Manager.Signal] stands in for signals.
package shutdown
