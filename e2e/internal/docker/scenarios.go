//go:build linux

package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

const (
	library = "library"
	naive   = "naive"

	often = 10 // stops of a scenario that shows that nothing is lost
	few   = 3  // of one that shows what happens
)

// What is not told its grace period guesses Docker's, which is 10 s.
var scenarios = []scenario{
	{
		name: "docker stop", service: library, shows: []string{"R3", "R7", "R10", "R11"},
		run: []string{libraryImage}, rounds: often, short: true, head: true,
		expect: isClean,
	},
	{
		name: "docker stop", service: naive,
		run: []string{naiveImage}, rounds: often, short: true, head: true,
		expect: mayLose,
	},
	{
		name: "all capabilities dropped, read-only root", service: library, shows: []string{"R7"},
		run: []string{"--cap-drop", "ALL", "--read-only", libraryImage}, rounds: often,
		expect: isClean,
	},
	{
		name: "STOPSIGNAL SIGINT", service: library, shows: []string{"R3"},
		run: []string{"--stop-signal", "SIGINT", libraryImage}, rounds: often,
		expect: isClean,
	},
	{
		name: "--init", service: library, shows: []string{"R11"},
		run: []string{"--init", libraryImage}, rounds: often,
		expect: isClean,
	},
	{
		name: "a request hangs", service: library, shows: []string{"R10", "R25", "R26"},
		run: []string{libraryImage}, rounds: few, hung: true, short: true, head: true,
		expect: cutsOff,
	},
	{
		name: "a request hangs", service: naive,
		run: []string{naiveImage}, rounds: few, hung: true, head: true,
		expect: mayLose,
	},
	{
		name: "a request hangs, --stop-timeout 3, SHUTDOWN_GRACE_PERIOD=3", service: library, shows: []string{"R10", "R25"},
		run: []string{"--stop-timeout", "3", "--env", "SHUTDOWN_GRACE_PERIOD=3", libraryImage}, rounds: few, hung: true,
		expect: cutsOff,
	},
	{
		name: "a request hangs, --stop-timeout 3, not told", service: library, shows: []string{"R6"},
		run: []string{"--stop-timeout", "3", libraryImage}, rounds: few, hung: true,
		after: restart, expect: isKilled("in drain"),
	},
	{
		name: "docker kill", service: library, shows: []string{"R6", "R10"},
		run: []string{libraryImage}, stop: kill("SIGKILL"), rounds: few,
		after: restart, expect: isKilled("running"),
	},
	{
		name: "paused for 2 s in the shutdown", service: library, shows: []string{"R7"},
		run: []string{"--env", "SHUTDOWN_LAME_DUCK=1", libraryImage}, stop: pauseInBetween, rounds: few,
		expect: isClean,
	},
	{
		name: "shell form: CMD /orders; true", service: library, shows: []string{"R12"},
		run: shell("sh", "-c", "/orders; true"), rounds: 1, short: true,
		expect: isTold("which does not pass SIGTERM on"),
	},
	{
		name: "script: /orders & wait", service: library, shows: []string{"R12"},
		run: shell("/script.sh"), rounds: 1,
		expect: isTold("which does not pass SIGTERM on"),
	},
	{
		name: "script with exec /orders", service: library, shows: []string{"R12"},
		run: shell("/exec.sh"), rounds: often,
		expect: isCleanAndSilent,
	},
	{
		name: "shutdown-init, script: /orders & wait", service: library, shows: []string{"R11", "R20"},
		run: shell("/shutdown-init", "--ok", "143", "--", "/script.sh"), rounds: often,
		expect: isCleanAndSilent,
	},
	{
		name: "tini", service: library, shows: []string{"R11", "R12"},
		run: shell("/bin/tini", "--", "/orders"), rounds: often,
		expect: isCleanAndSilent,
	},
	{
		name: "tini, script: /orders & wait", service: library, shows: []string{"R12"},
		run: shell("/bin/tini", "--", "/script.sh"), rounds: few,
		expect: isTold("ends on SIGTERM without waiting"),
	},
}

// shell returns the arguments of docker run for the image with a shell.
func shell(command ...string) []string {
	return append([]string{"--entrypoint", command[0], shellImage}, command[1:]...)
}

func kill(signal string) func(context.Context, *container) error {
	return func(ctx context.Context, c *container) error {
		_, err := c.docker(ctx, "kill", "--signal", signal, c.name)
		return err
	}
}

// pauseInBetween stops the container with a lame duck, and pauses it during that.
func pauseInBetween(ctx context.Context, c *container) error {
	if err := kill("SIGTERM")(ctx, c); err != nil {
		return err
	}
	if _, err := c.docker(ctx, "pause", c.name); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	_, err := c.docker(ctx, "unpause", c.name)
	return err
}

// restart starts the container again, which logs how its last run ended, and kills it.
func restart(ctx context.Context, c *container, row *report.Row) error {
	if _, err := c.docker(ctx, "start", c.name); err != nil {
		return err
	}
	if err := c.address(ctx); err != nil {
		return err
	}
	if err := traffic.Await(ctx, c.host); err != nil {
		return err
	}
	log, err := c.log(ctx)
	if err != nil {
		return err
	}
	says(row, log, "shutdown: the last run was killed")
	return kill("SIGKILL")(ctx, c)
}

func mayLose(*report.Row, []line) {}

func isClean(row *report.Row, log []line) {
	row.NothingLost()
	row.ExitsOnly("0")
	says(row, log, "shutdown: finished")
}

func isCleanAndSilent(row *report.Row, log []line) {
	isClean(row, log)
	if l := find(log, "shutdown: PID 1"); l != nil {
		row.Problem("a false alarm: %v", l["msg"])
	}
}

// cutsOff expects that only the request that hangs is cut off, and named, and that the
// process ends before Docker kills it, which would be 137.
func cutsOff(row *report.Row, log []line) {
	row.NothingLost()
	row.ExitsOnly("1")
	l := says(row, log, "shutdown: timed out")
	if l == nil {
		return
	}
	if !strings.Contains(fmt.Sprint(l), "POST /orders") {
		row.Problem("the last line does not name the request: %v", l)
		return
	}
	row.Says = "timed out, POST /orders"
}

// isKilled expects that nobody could do anything, and that the next run says so.
func isKilled(when string) func(*report.Row, []line) {
	return func(row *report.Row, _ []line) {
		row.ExitsOnly("137")
		if !strings.Contains(row.Says, when) {
			row.Problem("the next run says %q, without %q", row.Says, when)
		}
	}
}

// isTold expects that the log says why SIGTERM does not arrive.
func isTold(what string) func(*report.Row, []line) {
	return func(row *report.Row, log []line) {
		for _, l := range log {
			if msg := fmt.Sprint(l["msg"]); strings.Contains(msg, what) {
				row.Says = strings.TrimPrefix(msg, "shutdown: ")
				return
			}
		}
		row.Problem("the log does not say %q", what)
	}
}
