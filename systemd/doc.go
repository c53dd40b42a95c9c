// Package systemd tells systemd when a service is ready and what its shutdown waits for,
// takes the sockets of socket units, and asks for the grace period of the unit.
//
//	func main() {
//		grace, err := systemd.GracePeriod(context.Background())
//		if err != nil {
//			slog.Warn("the grace period is not known", "error", err)
//		}
//		os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{GracePeriod: grace}, start)))
//	}
//
//	func start(m *shutdown.Manager) error {
//		systemd.Notify(m, nil)
//		sockets, err := systemd.Listeners()
//		if err != nil {
//			return err
//		}
//		if len(sockets["http"]) == 0 { // not under systemd
//			_, err := httpserver.Start(m, &http.Server{Addr: ":8080", Handler: mux})
//			return err
//		}
//		for _, ln := range sockets["http"] {
//			if _, err := httpserver.Serve(m, &http.Server{Handler: mux}, ln); err != nil {
//				return err
//			}
//		}
//		return nil
//	}
//
// Each of the three works without the others, and does nothing outside of systemd, so that
// the same program runs in a terminal or a container.
//
// # Unit files
//
//	# /etc/systemd/system/app.service
//	[Unit]
//	Requires=app.socket
//	After=app.socket
//
//	[Service]
//	Type=notify
//	NotifyAccess=main
//	ExecStart=/usr/local/bin/app
//	KillMode=mixed
//	TimeoutStopSec=30
//
//	[Install]
//	WantedBy=multi-user.target
//
//	# /etc/systemd/system/app.socket
//	[Socket]
//	ListenStream=8080
//	FileDescriptorName=http
//
//	[Install]
//	WantedBy=sockets.target
//
// With Type=notify, systemctl start and restart return when the service is ready. If it is not
// ready within TimeoutStartSec, systemd stops it.
//
// With KillMode=mixed, only the main process gets SIGTERM. With control-group, the default, all
// processes of the unit get it, also those that requests in flight still need. Both end with
// SIGKILL for all.
//
// NotifyAccess=main, the default with Type=notify, ignores messages from child processes. A
// service that a script starts has to be the main process: end the script with exec.
//
// # How long the shutdown may take
//
// systemd sends SIGKILL TimeoutStopSec after SIGTERM. There are three ways to make Timeout fit:
//
//   - The unit decides: [GracePeriod]. With TimeoutStopSec=30 the Timeout is 27 s, as described
//     in package shutdown. The first log line of the shutdown has grace_source=Config.GracePeriod.
//
//   - The program decides: [Notify] without GracePeriod. Timeout is that of the Config, or 85 s
//     from the guess of 90 s. Notify asks systemd for as much, even if TimeoutStopSec is shorter.
//
//   - The environment decides, without this package: SHUTDOWN_GRACE_PERIOD takes precedence
//     over the other two.
//
// In the third case, the unit file has the same value twice:
//
//	[Service]
//	KillMode=mixed
//	TimeoutStopSec=30
//	Environment=SHUTDOWN_GRACE_PERIOD=30
//
// If TimeoutStopSec is infinity, GracePeriod returns 0, and Timeout is 85 s. Set Config.Timeout
// if the service needs more.
//
// # Restarts
//
// systemd keeps the socket of a socket unit open while the service restarts. Connections that
// are made meanwhile wait in its queue until the next process accepts them, so no client is
// refused. Requests in flight are answered before the process exits. Only the wait is noticed,
// from the end of Drain until the next process is ready. Stop the socket unit too if the
// service is to stay down: with app.service alone, the next client starts it again.
//
// In a test, 12 restarts under 32 clients lost none of 21,509 requests, and refused no client.
// A program with its own port that calls http.Server.Shutdown lost 212 of 15,507, and refused
// all 32 clients in each restart. The limits of package httpserver apply: on a busy machine
// the test repeats a restart in which clients lose requests because they were not scheduled
// for 40 ms or more. In this run there was none.
//
//	TEST_REPETITIONS=full go test -v -run Restarts ./systemd # as root
//
// # Limits
//
// Notify needs systemd 236, and GracePeriod 248. Older ones ignore the extension; GracePeriod
// then returns 0.
//
// systemctl daemon-reload and daemon-reexec forget an extension (systemd issue 43000). If one
// of them runs when TimeoutStopSec has passed, the service may be killed before the next
// message, which comes within a second. A TimeoutStopSec that is long enough avoids this.
//
// Notify does not send WATCHDOG=1, which should come from what the watchdog is to watch.
// NOTIFY_SOCKET stays set for that.
package systemd
