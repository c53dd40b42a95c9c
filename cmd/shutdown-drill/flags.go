package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/drill"
	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/signame"
)

const usage = "usage: shutdown-drill [flags] --url http://127.0.0.1:8080/ -- command [argument ...]\n"

// The load is bounded, because a wrong number would be an attack on one's own machine.
const (
	maxClients = 1000
	maxRounds  = 1000
)

type config struct {
	plan drill.Plan
	json bool
}

// parse reads the command line. For flag.ErrHelp it has written the usage.
func parse(args []string, stderr io.Writer) (c config, err error) {
	request := &load.Request{Header: make(http.Header)}
	t := drill.Target{Request: request}
	var p drill.Plan
	flags := flag.NewFlagSet("shutdown-drill", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	address := flags.String("url", "", "what the clients ask for; the host is a loopback or private address")
	flags.IntVar(&p.Clients, "c", 32, "clients")
	flags.IntVar(&p.Rounds, "rounds", 5, "shutdowns in each mode")
	mode := flags.String("mode", "", "`modes`: new, keepalive, http2, http2shared (default new,keepalive and, if it is spoken, http2)")
	flags.StringVar(&request.Method, "method", "", "method of the requests (default GET, or POST with -body)")
	flags.StringVar(&request.Body, "body", "", "body of the requests")
	flags.Func("H", "header of the requests, `\"Name: value\"`; may be repeated", func(line string) error {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\"(),/:;<=>?@[\\]{}") {
			return errors.New(`it must be "Name: value"`)
		}
		request.Header.Add(name, strings.TrimSpace(value))
		return nil
	})
	flags.StringVar(&t.Held, "held", "", "`path` that takes long; it is asked for right before the stop")
	method := flags.String("grpc", "", "unary gRPC `method` to call with an empty message, such as grpc.health.v1.Health/Check")
	sig := flags.String("signal", "SIGTERM", "signal that stops the program")
	flags.StringVar(&p.StopCommand, "stop-command", "", "`command` that stops the program instead")
	flags.DurationVar(&p.Grace, "grace", 30*time.Second, "from the stop until the program is killed")
	flags.DurationVar(&p.Start, "start", 30*time.Second, "limit for the answer to the first request")
	verbose := flags.Bool("v", false, "show the output of the program")
	flags.BoolVar(&c.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, usage)
			flags.SetOutput(stderr)
			flags.PrintDefaults()
		}
		return c, err
	}
	set := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if t.Command = flags.Args(); len(t.Command) == 0 {
		return c, errors.New("no command; " + strings.TrimSpace(usage))
	}
	if err := setURL(&t, *address); err != nil {
		return c, fmt.Errorf("--url %q: %w", *address, err)
	}
	if *method != "" {
		if request.Body != "" || request.Method != "" || t.Held != "" {
			return c, errors.New("--grpc cannot be combined with --body, --method or --held")
		}
		if t.Path != "/" {
			return c, fmt.Errorf("--url %q: with --grpc it has no path", *address)
		}
		request.GRPC, t.Path = true, "/"+strings.TrimPrefix(*method, "/")
	}
	if request.Body != "" && request.Method == "" {
		request.Method = http.MethodPost
	}
	if t.Held != "" && !strings.HasPrefix(t.Held, "/") {
		return c, fmt.Errorf("--held %q: it must begin with /", t.Held)
	}
	if p.Modes, err = modesNamed(*mode, request.GRPC); err != nil {
		return c, fmt.Errorf("--mode %q: %w", *mode, err)
	}
	if p.Signal, err = signalNamed(*sig); err != nil {
		return c, fmt.Errorf("--signal %q: %w", *sig, err)
	}
	switch {
	case set["signal"] && set["stop-command"]:
		return c, errors.New("--signal cannot be combined with --stop-command")
	case p.Clients < 1 || p.Clients > maxClients:
		return c, fmt.Errorf("-c %d: it must be from 1 to %d", p.Clients, maxClients)
	case p.Rounds < 1 || p.Rounds > maxRounds:
		return c, fmt.Errorf("--rounds %d: it must be from 1 to %d", p.Rounds, maxRounds)
	case p.Grace <= 0:
		return c, fmt.Errorf("--grace %v: it must be longer than 0", p.Grace)
	case p.Start <= 0:
		return c, fmt.Errorf("--start %v: it must be longer than 0", p.Start)
	}
	if *verbose {
		p.Output = os.Stderr
	}
	p.Targets = []drill.Target{t}
	c.plan = p
	return c, nil
}

// setURL sets what the URL says. It refuses addresses of the internet, because they
// belong to somebody else.
func setURL(t *drill.Target, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("it must be a URL such as http://127.0.0.1:8080/orders")
	}
	if u.User != nil {
		return errors.New("user and password are not used; set a header with -H")
	}
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if a = a.Unmap(); !a.IsLoopback() && !a.IsPrivate() {
			return fmt.Errorf("%v is neither a loopback nor a private address", a)
		}
	}
	t.Addr = net.JoinHostPort(addrs[0].Unmap().String(), port) // the name is not looked up again
	t.Path = u.RequestURI()
	if _, ok := t.Request.Header["Host"]; !ok {
		t.Request.Header.Set("Host", u.Host)
	}
	if u.Scheme == "https" {
		t.TLS = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true} //nolint:gosec // the program is on this machine or in this network, and was started by us
	}
	return nil
}

func modesNamed(list string, grpc bool) (named []load.Mode, err error) {
	switch {
	case list == "" && grpc:
		return []load.Mode{load.NewConn, load.HTTP2}, nil
	case list == "":
		return nil, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		mode, err := load.ModeNamed(name)
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(named, mode):
			return nil, fmt.Errorf("%s is named twice", name)
		case grpc && mode == load.KeepAlive:
			return nil, errors.New("gRPC needs HTTP/2: new, http2 or http2shared")
		}
		named = append(named, mode)
	}
	return named, nil
}

// signalNamed accepts HUP, SIGHUP, sighup and 1.
func signalNamed(name string) (os.Signal, error) {
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	for n := 1; n < 32; n++ {
		if sig := syscall.Signal(n); signame.Name(sig) == full || strconv.Itoa(n) == name {
			return sig, nil
		}
	}
	return nil, errors.New("no such signal; examples are TERM, SIGINT and 1")
}
