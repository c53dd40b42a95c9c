// Command shutdown-prestop is a Kubernetes preStop hook for images without a shell,
// kill and curl. It starts the graceful shutdown of a service and waits:
//
//	shutdown-prestop                                  # SIGTERM to PID 1, waits for up to 5 s
//	shutdown-prestop --signal HUP --pid 7 --wait 10s
//	shutdown-prestop --url http://127.0.0.1:9090/prestop --token-file /run/secrets/prestop
//
// Built without cgo it is a static program:
//
//	FROM golang AS build
//	RUN CGO_ENABLED=0 go install github.com/gracefulgo/shutdown/cmd/shutdown-prestop@latest
//	FROM scratch
//	COPY --from=build /go/bin/shutdown-prestop /
//
//	lifecycle:
//	  preStop:
//	    exec: {command: [/shutdown-prestop]}
//
// # With a signal
//
// Without --url it sends --signal (TERM) to --pid (1), and returns when that process
// has exited, or after --wait (5 s). Then the kubelet sends SIGTERM, or the STOPSIGNAL of
// the image. With the default signal table of package shutdown that is a repetition, which
// has no effect.
//
// The service must have each of these signals in its table (shutdown.Config.Signals). A Go
// program that does not catch a signal such as SIGHUP, SIGQUIT or SIGUSR1 is ended by it at
// once, and no hook runs:
//
//	preStop              stop signal  signal table                    hooks that run
//	none                 SIGTERM      default                         all
//	none                 SIGINT       default                         all
//	none                 SIGQUIT      default                         none, exit code 2
//	shutdown-prestop     SIGTERM      default                         all
//	shutdown-prestop     SIGTERM      HUP: Graceful, TERM: Immediate  all, but work in flight is cut off
//	shutdown-prestop     SIGTERM      HUP: Graceful                   none, exit code 2
//	   --signal HUP      SIGTERM      default                         none, exit code 2
//	   --signal HUP      SIGTERM      HUP: Graceful, TERM: Immediate  all
//	   --signal HUP      SIGTERM      HUP: Graceful                   those before SIGTERM, exit code 2
//
// PID 1 is the service if the image starts it directly. It is not if the pod has
// shareProcessNamespace, or if a shell or an init starts the service and does not
// forward the signal.
//
// If the service exits before --wait has passed, its container ends, and this command
// with it. The kubelet then reports that the preStop hook failed. This has no other
// effect.
//
// # With a URL
//
// With --url it sends a POST, as /prestop of package admin expects it, and waits for
// the response, for at most --wait (a minute). The token is the first line of
// --token-file, or the environment variable SHUTDOWN_PRESTOP_TOKEN. It cannot be
// given on the command line, where ps shows it.
//
// # Exit status
//
// 0 if the signal or the request was sent, and the wait is over; 1 if it could not be
// sent, or the URL did not respond with 200; 2 if the command line is wrong.
package main
