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
	waitForSignal   = 5 * time.Second
	waitForResponse = time.Minute
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stderr)) }

func run(args []string, getenv func(string) string, stderr io.Writer) (status int) {
	flags := flag.NewFlagSet("shutdown-prestop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	sig := flags.String("signal", "TERM", "the `signal` to send: a name or a number")
	pid := flags.Int("pid", 1, "the process to send it to")
	url := flags.String("url", "", "call this `URL` instead of sending a signal")
	tokenFile := flags.String("token-file", "", "`file` with the token for the URL (default $SHUTDOWN_PRESTOP_TOKEN)")
	wait := flags.Duration("wait", 0, "how long to wait for the process to exit (default 5s), or for the response (default 1m)")
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
		return usage("unexpected argument %q", flags.Arg(0))
	case *wait < 0:
		return usage("--wait %v is negative", *wait)
	case set["url"] && (set["signal"] || set["pid"]):
		return usage("--url cannot be combined with --signal or --pid")
	case set["token-file"] && !set["url"]:
		return usage("--token-file needs --url")
	}

	var err error
	if set["url"] {
		if !set["wait"] {
			*wait = waitForResponse
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

// A usageError is a mistake in the command line: exit status 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }
