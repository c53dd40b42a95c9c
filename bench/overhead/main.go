// Overhead measures what package httpserver costs a handler that does almost nothing.
//
//	go run ./overhead
//	go run ./overhead -mux           # the handler behind a ServeMux pattern
//	go run ./overhead -against bare  # the same server twice: the noise floor
//
// Two servers with the same handler run as child processes on loopback, one with
// net/http alone and one with this library. wrk loads them in turn, so that other work of
// the machine affects both alike. Each pair of measurements has two new processes. The
// result is the ratio in each pair.
//
// With a handler that does real work the difference is too small to see. The clients
// share the processors with the server, so the processor time that the server spends
// on a request is printed too, on systems with /proc. It varies less.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
)

func main() {
	child.Main("overhead", roles, parse, func(ctx context.Context, p plan) error { return p.measure(ctx, os.Stdout) })
}

// A plan says what to measure.
type plan struct {
	against  string // the role that bare is compared with
	mux      bool
	pairs    int
	seconds  int // of a measurement
	warmUp   int // in seconds
	clients  int
	profiles string // a folder; "" for none
}

func parse(args []string, usage io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("overhead", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&p.against, "against", "library", "what bare net/http is compared with: library, or bare for the noise floor")
	flags.BoolVar(&p.mux, "mux", false, "put the handler behind a ServeMux pattern with a wildcard")
	flags.IntVar(&p.pairs, "pairs", 9, "measurements of each server")
	flags.IntVar(&p.seconds, "seconds", 3, "length of a measurement")
	flags.IntVar(&p.warmUp, "warmup", 1, "seconds of load on each server before it is measured")
	flags.IntVar(&p.clients, "clients", 32, "keep-alive connections, each sending one request at a time")
	flags.StringVar(&p.profiles, "profiles", "", "write CPU profiles of both servers, in the last pair, into this folder")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if flags.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if _, ok := roles[p.against]; !ok {
		return plan{}, fmt.Errorf("unknown server %q", p.against)
	}
	if p.pairs < 1 || p.seconds < 1 || p.warmUp < 1 || p.clients < 1 {
		return plan{}, errors.New("-pairs, -seconds, -warmup and -clients must be at least 1")
	}
	return p, nil
}

// measure loads the two servers in turn, and prints.
func (p plan) measure(ctx context.Context, w io.Writer) error {
	if err := findWrk(); err != nil {
		return err
	}
	limit := 2*time.Duration(p.pairs*(p.warmUp+p.seconds+1))*time.Second + 30*time.Second
	ctx, kill := context.WithTimeoutCause(ctx, limit, fmt.Errorf("killed, because it had not ended after %v", limit))
	defer kill()

	names := [2]string{"bare", p.against}
	if names[1] == names[0] {
		names[1] = "bare again"
	}
	t := newTable(w, names)
	for n := range p.pairs {
		pair, err := p.pair(ctx, n%2)
		if err != nil {
			return err
		}
		t.add(pair)
	}
	t.finish()
	return nil
}

// pair measures both servers once, beginning with the first or the second. The servers are
// new, because how a process lies in memory changes its speed for as long as it lives.
func (p plan) pair(ctx context.Context, first int) (pair [2]result, err error) {
	var servers [2]*child.Process
	for i, role := range []string{"bare", p.against} {
		profile := ""
		if p.profiles != "" {
			profile = filepath.Join(p.profiles, []string{"a-", "b-"}[i]+role+".pprof")
		}
		servers[i], err = child.Start(ctx, role, strconv.FormatBool(p.mux), profile)
		if err != nil {
			return pair, err
		}
		defer func() { err = errors.Join(err, servers[i].Stop()) }()
	}
	for _, s := range servers {
		if _, err := load(ctx, s, p.clients, p.warmUp); err != nil {
			return pair, err
		}
	}
	for _, i := range []int{first, 1 - first} {
		if pair[i], err = load(ctx, servers[i], p.clients, p.seconds); err != nil {
			return pair, err
		}
	}
	return pair, nil
}
