package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// config holds the flags and the command.
type config struct {
	rewrite   map[unix.Signal]unix.Signal
	grace     time.Duration
	childOnly bool
	ok        map[int]bool
	command   []string
}

const usage = `usage: shutdown-init [flags] -- command [argument ...]

Runs command, forwards signals to it and to all of its descendants, and exits
when all of them have exited, with the exit code of command or of a process
that it has left.

  --grace 25s        time from SIGTERM, SIGINT or SIGQUIT to SIGKILL for the
                     processes that are left (default: %s less a
                     twentieth if that is set, else 9.5s)
  --ok 143           an exit code of command that counts as 0, unless a process
                     had to be killed; may be repeated, or be a list: 143,129
  --signal TERM=HUP  forward SIGTERM as SIGHUP; may be repeated
  --to tree|child    forward signals to all processes, or to command alone
                     (default tree)

Exit codes: the first of command's and of those that have outlived it that is
neither 0 nor due to the forwarded signal; else 137 if a process had to be
killed; else that of command. 128+n if signal n ended it; 126 if it cannot be
run, 127 if it was not found; 2 if the flags are wrong.
`

const (
	envGrace   = "SHUTDOWN_GRACE_PERIOD"
	envPreStop = "SHUTDOWN_PRESTOP"
	// Docker's ten seconds less a twentieth.
	defaultGrace = 9500 * time.Millisecond
)

// parse reads the command line. If it returns an error, it has written it to stderr,
// or the usage for flag.ErrHelp.
func parse(args []string, getenv func(string) string, stderr io.Writer) (config, error) {
	c := config{rewrite: make(map[unix.Signal]unix.Signal), ok: make(map[int]bool)}
	flags := flag.NewFlagSet("shutdown-init", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.DurationVar(&c.grace, "grace", graceFromEnv(getenv, stderr), "")
	flags.Func("signal", "", c.addRewrite)
	flags.Func("ok", "", c.addOK)
	flags.Func("to", "", func(to string) error {
		if to != "tree" && to != "child" {
			return errors.New("neither tree nor child")
		}
		c.childOnly = to == "child"
		return nil
	})
	err := flags.Parse(args)
	c.command = flags.Args()
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stderr, usage, envGrace)
		return c, err
	case err != nil:
	case c.grace <= 0:
		err = fmt.Errorf("invalid value %q for flag -grace: it must be longer than 0", c.grace)
	case len(c.command) == 0:
		err = errors.New("no command")
	}
	if err != nil {
		fmt.Fprintf(stderr, "shutdown-init: %s\n\n", clip.Text(err.Error()))
		fmt.Fprintf(stderr, usage, envGrace)
	}
	return c, err
}

// graceFromEnv returns the grace period that package shutdown would take from the
// environment, less the part of a preStop hook and a twentieth. By default the
// package stops waiting, and logs for what, when a tenth is left; SIGKILL comes after
// that and before the platform's. A malformed value counts as unset.
func graceFromEnv(getenv func(string) string, stderr io.Writer) time.Duration {
	grace, ok := durationFromEnv(envGrace, getenv, stderr)
	if !ok || grace == 0 {
		return defaultGrace
	}
	// The preStop hook has run when SIGTERM arrives.
	if preStop, ok := durationFromEnv(envPreStop, getenv, stderr); ok && preStop < grace {
		grace -= preStop
	}
	return grace - min(grace/20, 2500*time.Millisecond)
}

// durationFromEnv reads "30s", or "30", which means seconds.
func durationFromEnv(key string, getenv func(string) string, stderr io.Writer) (time.Duration, bool) {
	value := getenv(key)
	if value == "" {
		return 0, false
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		d, err = time.ParseDuration(value + "s")
	}
	if err != nil || d < 0 {
		fmt.Fprintf(stderr, "shutdown-init: %s is not a duration: ignored\n", clip.Text(fmt.Sprintf("%s=%q", key, value)))
		return 0, false
	}
	return d, true
}

func (c *config) addRewrite(value string) error {
	from, to, found := strings.Cut(value, "=")
	if !found {
		return errors.New("not of the form TERM=HUP")
	}
	received, err := parseSignal(from)
	if err != nil {
		return err
	}
	sent, err := parseSignal(to)
	if err != nil {
		return err
	}
	if received == unix.SIGCHLD {
		return errors.New("SIGCHLD tells an init that a child has exited: it is not forwarded")
	}
	c.rewrite[received] = sent
	return nil
}

func (c *config) addOK(value string) error {
	for text := range strings.SplitSeq(value, ",") {
		code, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || code < 0 || code > 255 {
			return fmt.Errorf("%q is not an exit code from 0 to 255", text)
		}
		c.ok[code] = true
	}
	return nil
}

// parseSignal accepts TERM, SIGTERM, 15 and RTMIN+3, which stops a systemd that runs
// in a container.
func parseSignal(name string) (unix.Signal, error) {
	text := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "SIG")
	sig := unix.SignalNum("SIG" + text)
	if offset, isRealTime := strings.CutPrefix(text, "RTMIN"); isRealTime {
		if n, err := strconv.ParseUint("0"+strings.TrimPrefix(offset, "+"), 10, 8); err == nil {
			sig = rtmin + unix.Signal(n)
		}
	} else if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		sig = unix.Signal(n)
	}
	switch {
	case sig <= 0 || sig > lastSignal:
		return 0, fmt.Errorf("%q is not a signal", name)
	case sig == unix.SIGKILL || sig == unix.SIGSTOP:
		return 0, fmt.Errorf("%s cannot be caught by any program", signame.Name(sig))
	}
	return sig, nil
}

const (
	rtmin      unix.Signal = 34 // the C library uses 32 and 33 itself
	lastSignal unix.Signal = 64
)
