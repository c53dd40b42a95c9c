//go:build linux

// Proxies measures which requests are lost or delayed behind HAProxy and nginx while two
// instances of a service are restarted in turn.
//
//	go run ./proxies
//	go run ./proxies -only nginx -restarts 4
//
// The proxy and the instances run as child processes on loopback. Clients send requests
// whose bodies cannot be sent twice, each on a keep-alive connection to the proxy. An
// instance gets SIGTERM, exits, and is started again on the same address. The other one
// follows when the proxy sends requests to the first again.
//
// One service uses this library. The other, plain, is the same with net/http alone: it
// fails its readiness, sleeps for the lame duck and calls http.Server.Shutdown.
//
// It exits with status 1 if a request failed, or took longer than half a second, with the
// settings that docs/load-balancers.md recommends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/gracefulgo/shutdown/bench/internal/child"
)

func main() {
	child.Main("proxies", roles, parse, func(ctx context.Context, p plan) error {
		rows, err := p.measure(ctx, os.Stderr)
		if err != nil {
			return err
		}
		if p.json {
			if err := printJSON(os.Stdout, rows); err != nil {
				return err
			}
		} else {
			printTable(os.Stdout, rows)
		}
		if text, ok := verdict(rows); !ok {
			return errors.New(text)
		}
		return nil
	})
}

// A plan says what to measure.
type plan struct {
	setups   []setup
	restarts int // in each setup, of both instances together
	clients  int
	json     bool
}

func parse(args []string, usage io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("proxies", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&p.restarts, "restarts", 20, "restarts in each row of the table")
	flags.IntVar(&p.clients, "clients", 32, "clients, each sending one request at a time")
	flags.BoolVar(&p.json, "json", false, "print JSON")
	only := flags.String("only", "", "measure only the rows whose proxy, setting and service match this regular expression")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if flags.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if p.restarts < 1 || p.clients < 1 {
		return plan{}, fmt.Errorf("-restarts is %d and -clients %d, and both must be at least 1", p.restarts, p.clients)
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		return plan{}, fmt.Errorf("-only: %w", err)
	}
	for _, s := range setups {
		if re.MatchString(s.String()) {
			p.setups = append(p.setups, s)
		}
	}
	if len(p.setups) == 0 {
		return plan{}, fmt.Errorf("-only %q matches no row", *only)
	}
	return p, nil
}

// measure takes the setups one after another.
func (p plan) measure(ctx context.Context, progress io.Writer) ([]row, error) {
	for _, s := range p.setups {
		if err := s.proxy.find(); err != nil {
			return nil, err
		}
	}
	var rows []row
	for i, s := range p.setups {
		result, err := p.run(ctx, s)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", s, err)
		}
		rows = append(rows, row{setup: s, Result: result})
		fmt.Fprintf(progress, "%d of %d: %v\n", i+1, len(p.setups), rows[i])
	}
	return rows, nil
}
