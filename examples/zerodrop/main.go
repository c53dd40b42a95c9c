// Zerodrop counts the requests that a shutdown loses.
//
//	go run ./examples/zerodrop
//
// It runs a small service many times as a child process, with http.Server.Shutdown alone
// and with this library in turn. While clients send requests, it sends the service
// SIGTERM, and it records the outcome of every request.
//
// It exits with status 1 if the library lost a request. It also does if the plain server
// lost none in any mode, because the load then proves nothing.
//
// -mode http2shared, in which all clients share one connection, is not measured by
// default: what it loses also depends on the clients. See "Limits" in package httpserver.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/gracefulgo/shutdown/internal/load"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		play(role) // this is a child process
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "zerodrop:", err)
		os.Exit(2)
	}
	rows, err := p.measure(ctx, newProgress(os.Stderr))
	if err != nil {
		fmt.Fprintln(os.Stderr, "zerodrop:", err)
		os.Exit(1)
	}
	printTable(os.Stdout, rows)
	text, ok := verdict(rows)
	fmt.Println(text)
	if !ok {
		os.Exit(1)
	}
}

// A plan is what to measure.
type plan struct {
	services []string
	modes    []load.Mode
	rounds   int
	clients  int
	busy     int
}

var modes = map[string]load.Mode{
	"new":         load.NewConn,
	"keepalive":   load.KeepAlive,
	"http2":       load.HTTP2,
	"http2shared": load.HTTP2Shared,
}

func parse(args []string, usage io.Writer) (plan, error) {
	p := plan{services: []string{"plain", "shutdown"}}
	flags := flag.NewFlagSet("zerodrop", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&p.rounds, "rounds", 20, "shutdowns of each service in each mode")
	flags.IntVar(&p.clients, "clients", 32, "clients, each sending one request at a time")
	flags.IntVar(&p.busy, "busy", 0, "processes that burn CPU meanwhile")
	mode := flags.String("mode", "new,keepalive,http2", "modes: new, keepalive, http2 (one connection per client), http2shared (one connection for all)")
	only := flags.String("only", "", "measure only this service: plain or shutdown")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if flags.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if p.rounds < 1 || p.clients < 1 || p.busy < 0 {
		return plan{}, errors.New("-rounds and -clients start at 1, -busy at 0")
	}
	for _, name := range strings.Split(*mode, ",") {
		m, ok := modes[name]
		if !ok {
			return plan{}, fmt.Errorf("unknown mode %q", name)
		}
		p.modes = append(p.modes, m)
	}
	if *only != "" {
		if !slices.Contains(p.services, *only) {
			return plan{}, fmt.Errorf("unknown service %q", *only)
		}
		p.services = []string{*only}
	}
	return p, nil
}

// measure runs the services and modes in turn, so that other load on the machine affects
// all of them.
func (p plan) measure(ctx context.Context, progress *progress) ([]*row, error) {
	stop, err := startBusy(ctx, p.busy)
	if err != nil {
		return nil, err
	}
	defer stop()
	defer progress.done()
	var rows []*row
	for _, service := range p.services {
		for _, mode := range p.modes {
			rows = append(rows, &row{service: service, mode: mode})
		}
	}
	for n := range p.rounds {
		for _, row := range rows {
			progress.show(fmt.Sprintf("round %d of %d: %s, %v", n+1, p.rounds, row.service, row.mode), rows)
			r, err := runRound(ctx, row.service, row.mode, p.clients)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s, %v, round %d: %w", row.service, row.mode, n+1, err)
			}
			row.add(r)
			if r.failed != nil {
				progress.print(fmt.Sprintf("%s, %v, round %d: %v", row.service, row.mode, n+1, r.failed))
			}
		}
	}
	return rows, nil
}
