// Zerodrop counts the requests that a shutdown loses.
//
//	go run ./examples/zerodrop
//
// It does what cmd/shutdown-drill does, with two small services in turn: one that calls
// http.Server.Shutdown alone, and one with this library. While clients send requests, it
// sends the service SIGTERM, and it records the outcome of every request.
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
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/drill"
	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		play(role) // this is a child process
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	plan, busy, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "zerodrop:", err)
		os.Exit(2)
	}
	calm, err := startBusy(ctx, busy)
	if err != nil {
		fmt.Fprintln(os.Stderr, "zerodrop:", err)
		os.Exit(1)
	}
	result, err := plan.Run(ctx)
	calm()
	if err != nil {
		fmt.Fprintln(os.Stderr, "zerodrop:", err)
		os.Exit(1)
	}
	result.Table(os.Stdout)
	text, ok := verdict(result)
	fmt.Println(text)
	if !ok {
		os.Exit(1)
	}
}

// The names of the services.
const (
	plain   = "plain"
	library = "shutdown"
)

// parse returns the plan, and the number of processes that burn CPU meanwhile.
func parse(args []string, usage io.Writer) (p drill.Plan, busy int, err error) {
	p = drill.Plan{Signal: syscall.SIGTERM, Start: 30 * time.Second, Grace: time.Minute, Progress: os.Stderr}
	flags := flag.NewFlagSet("zerodrop", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&p.Rounds, "rounds", 20, "shutdowns of each service in each mode")
	flags.IntVar(&p.Clients, "clients", 32, "clients, each sending one request at a time")
	flags.IntVar(&busy, "busy", 0, "processes that burn CPU meanwhile")
	mode := flags.String("mode", "new,keepalive,http2", "modes: new, keepalive, http2 (one connection per client), http2shared (one connection for all)")
	only := flags.String("only", "", "measure only this service: plain or shutdown")
	if err := flags.Parse(args); err != nil {
		return p, 0, err
	}
	if flags.NArg() > 0 {
		return p, 0, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if p.Rounds < 1 || p.Clients < 1 || busy < 0 {
		return p, 0, errors.New("-rounds and -clients start at 1, -busy at 0")
	}
	for name := range strings.SplitSeq(*mode, ",") {
		m, err := load.ModeNamed(name)
		if err != nil {
			return p, 0, err
		}
		p.Modes = append(p.Modes, m)
	}
	self, err := os.Executable()
	if err != nil {
		return p, 0, err
	}
	for _, name := range []string{plain, library} {
		if *only == "" || *only == name {
			addr := loopback.Host() + ":8080"
			p.Targets = append(p.Targets, drill.Target{
				Name: name, Command: []string{self}, Env: []string{roleVariable + "=" + name, addrVariable + "=" + addr}, Addr: addr, Path: "/",
			})
		}
	}
	if len(p.Targets) == 0 {
		return p, 0, fmt.Errorf("unknown service %q", *only)
	}
	return p, busy, nil
}

// verdict returns a summary of the result and whether the library passes.
func verdict(result drill.Result) (text string, ok bool) {
	ok = true
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	for i := range result.Plan.Targets {
		t := &result.Plan.Targets[i]
		sum := result.Sum(t)
		lost := sum.Losses()
		if t.Name == library {
			say("With the library %d of %d were lost in %d shutdowns.", lost, sum.Requests, sum.Rounds)
			for _, problem := range result.Problems(t) {
				say("%s", problem)
				ok = false
			}
			continue
		}
		say("http.Server.Shutdown alone lost %d of %d requests, %.1f a shutdown.", lost, sum.Requests, float64(lost)/float64(sum.Rounds))
		if lost == 0 {
			say("So the load was too light to prove anything.")
			ok = false
		}
	}
	return strings.Join(said, " "), ok
}
