// Shutdown-prestop is a preStop hook for images without a shell, without kill
// and without curl. It tells a service to leave, and waits:
//
//	shutdown-prestop                                  # SIGHUP to pid 1, and up to 5 s
//	shutdown-prestop --signal TERM --pid 7 --wait 10s
//	shutdown-prestop --url http://127.0.0.1:9090/prestop --token-file /run/secrets/prestop
//
// It needs nothing but itself if it is built without cgo:
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
// # A signal
//
// Without --url it sends --signal to --pid, and waits until that process has
// ended, or for --wait (5 s), whichever is first; then it is done, and the kubelet
// sends SIGTERM. The service has to have the signal in its table, as
//
//	shutdown.Config{Signals: map[os.Signal]shutdown.Action{
//		syscall.SIGHUP:  shutdown.Graceful,
//		syscall.SIGTERM: shutdown.Immediate, // or Graceful: after the SIGHUP it changes nothing
//	}}
//
// because a Go program that does not catch SIGHUP dies of it at once. With the
// default table use --signal TERM: the kubelet's SIGTERM is then a repetition,
// which changes nothing.
//
// Pid 1 is the service itself if the image starts it directly. It is not if the
// pod has shareProcessNamespace, nor behind a shell or an init that does not pass
// SIGHUP on. A --wait longer than the service needs has a blemish: the container
// ends with its pid 1 and takes this command along, and the kubelet reports a
// preStop hook that failed. Nothing else comes of it.
//
// # A URL
//
// With --url it sends a POST, as /prestop of package admin wants it, and waits for
// the answer, for --wait at most (then a minute). The token comes from the first
// line of --token-file, or from the environment variable SHUTDOWN_PRESTOP_TOKEN,
// and never from the command line, where ps shows it.
//
// # Exit status
//
// 0 if the service was told, and has answered or ended or had its time; 1 if it
// could not be told, or did not answer; 2 if the command line makes no sense.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

const (
	waitForSignal = 5 * time.Second
	waitForAnswer = time.Minute
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stderr)) }

func run(args []string, getenv func(string) string, stderr io.Writer) (status int) {
	flags := flag.NewFlagSet("shutdown-prestop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	sig := flags.String("signal", "HUP", "the `signal` to send: a name or a number")
	pid := flags.Int("pid", 1, "the process to send it to")
	url := flags.String("url", "", "call this `URL` instead of sending a signal")
	tokenFile := flags.String("token-file", "", "`file` with the token for the URL; else $SHUTDOWN_PRESTOP_TOKEN, if it is set")
	wait := flags.Duration("wait", 0, "how long to wait: for the process to end (default 5s), or for the answer (default 1m)")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	set := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { set[f.Name] = true })

	usage := func(format string, args ...any) int {
		fmt.Fprintf(stderr, "shutdown-prestop: %s\n", clip.Text(fmt.Sprintf(format, args...)))
		return 2
	}
	switch {
	case flags.NArg() > 0:
		return usage("%q: there are no arguments, only flags", flags.Arg(0))
	case *wait < 0:
		return usage("--wait %v is negative", *wait)
	case set["url"] && (set["signal"] || set["pid"]):
		return usage("--url goes without --signal and --pid: it is one or the other")
	case set["token-file"] && !set["url"]:
		return usage("--token-file is for --url")
	}

	var err error
	if set["url"] {
		if !set["wait"] {
			*wait = waitForAnswer
		}
		err = callURL(*url, *tokenFile, getenv("SHUTDOWN_PRESTOP_TOKEN"), *wait)
	} else {
		if !set["wait"] {
			*wait = waitForSignal
		}
		err = sendSignal(*sig, *pid, *wait)
	}
	if wrong := (usageError{}); errors.As(err, &wrong) {
		return usage("%v", err)
	}
	if err != nil {
		fmt.Fprintf(stderr, "shutdown-prestop: %s\n", clip.Text(err.Error()))
		return 1
	}
	return 0
}

// A usageError is one of who wrote the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }
