//go:build linux

// Manyconns measures the graceful shutdown of servers with many connections:
// thousands that are idle, and thousands with a request in flight that is answered
// two seconds later.
//
//	go run ./manyconns
//
// It compares http.Server.Shutdown alone with this library, in turn. Each server is a
// child process that gets SIGTERM. Manyconns prints what was lost, how long the
// shutdown took and how much memory it needed. It exits with status 1 if the library
// lost a request or exited with another status than 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
)

func main() {
	child.Main("manyconns", roles, parse, func(ctx context.Context, p plan) error {
		rows, err := p.measure(ctx, os.Stderr)
		if err != nil {
			return err
		}
		printTable(os.Stdout, rows)
		if !ok(rows) {
			return errors.New("the library lost a request, or exited with another status than 0")
		}
		return nil
	})
}

// A plan says what to measure.
type plan struct {
	rounds, idle, inFlight int
	hold                   time.Duration
}

func parse(args []string, usage io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("manyconns", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&p.rounds, "rounds", 3, "shutdowns of each server")
	flags.IntVar(&p.idle, "idle", 10_000, "idle keep-alive connections, each of which has had one answer")
	flags.IntVar(&p.inFlight, "inflight", 2_000, "requests in flight, each on its own connection; 0 measures idle connections alone")
	flags.DurationVar(&p.hold, "hold", 2*time.Second, "how long after SIGTERM the requests in flight are answered")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if flags.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if p.rounds < 1 || p.idle < 0 || p.inFlight < 0 || p.hold < 0 {
		return plan{}, errors.New("-rounds must be at least 1, and -idle, -inflight and -hold at least 0")
	}
	return p, p.checkLimits()
}

// checkLimits reports whether this machine allows as many connections. Package os has
// raised the soft limit of open files, in the children too (golang/go#46279).
func (p plan) checkLimits() error {
	const others = 100 // listeners, pipes, descriptors of the runtime
	need := p.idle + p.inFlight
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if uint64(need+others) > limit.Cur {
		return fmt.Errorf("%d connections need %d open files in each process, and the limit is %d", need, need+others, limit.Cur)
	}
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return nil // dials will fail if there are too few
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err == nil && need > high-low+1 {
		return fmt.Errorf("%d connections need as many ports, and ip_local_port_range has %d", need, high-low+1)
	}
	return nil
}

// measure takes the servers in turn, so that other work of the machine affects both
// alike.
func (p plan) measure(ctx context.Context, progress io.Writer) ([]*row, error) {
	rows := []*row{{server: "plain", plan: p}, {server: "library", plan: p}}
	for n := range p.rounds {
		for _, row := range rows {
			r, err := p.runRound(ctx, row.server)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", row.server, n+1, err)
			}
			row.rounds = append(row.rounds, r)
			fmt.Fprintf(progress, "round %d of %d, %s: %v\n", n+1, p.rounds, row.server, r)
		}
	}
	return rows, nil
}
