package guard

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testcert"
)

const (
	clients = 32
	// childEnv is the environment variable that makes this program a service.
	childEnv = "GUARD_SERVICE"
	// roundLimit is how long a service may run. Rounds take 2 to 5 s.
	roundLimit = 2 * time.Minute
	// warm is how many answers a client with short requests has, in the mean, before
	// SIGTERM.
	warm = 4
)

// newCertificate returns the certificate of all servers of this run.
var newCertificate = sync.OnceValues(testcert.New)

// An outcome is the result of one round.
type outcome struct {
	load.Result
	exit   int           // status; -1 if a signal ended the process
	last   time.Duration // from the last reply to the end of the process
	stream string        // how the stream ended; "" if there was none
	stall  time.Duration // the longest of the clients
	log    string        // of the service

	idleSince map[string]time.Time // the service's idle connections, by the client's address
}

// run starts the service of a cell, stops it under load, and counts. An error says
// that the round could not be done.
func (c cell) run(ctx context.Context, library bool) (outcome, error) {
	ctx, kill := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("killed: the service had not ended after %v", roundLimit))
	defer kill()
	s := c.service
	s.Library = library
	var err error
	if s.Cert, err = newCertificate(); err != nil {
		return outcome{}, err
	}
	if s.Handler == reverseProxy {
		backend := serveHTTP(s.Answer)
		defer backend.Close()
		s.Backend = backend.Listener.Addr().String()
	}
	p, err := startProcess(ctx, s)
	if err != nil {
		return outcome{}, err
	}
	o, err := c.measure(ctx, p)
	if err != nil {
		kill()
		return outcome{}, errors.Join(err, p.wait(), fmt.Errorf("the service wrote:\n%s", p.stderr.String()))
	}
	return o, nil
}

// A run is the load of package load, or that of gRPC.
type run interface {
	Mark()
	Count() int // of answers
	Began() int // clients that have had a connection for a request
	Wait() load.Result
}

func (c cell) measure(ctx context.Context, p *process) (o outcome, err error) {
	// The end of the service also ends dials without an answer.
	loading, gone := context.WithCancel(context.Background())
	defer gone()
	var how <-chan string
	if c.service.Stream.Kind != noStream {
		if how, err = c.service.Stream.Kind.hold(ctx, p.addr); err != nil {
			return o, fmt.Errorf("opening a stream: %w", err)
		}
	}
	load, stop, err := c.startLoad(loading, p.addr)
	if err != nil {
		return o, err
	}
	defer stop()
	err = waitFor(ctx, load, warm*c.traffic.short())
	if err == nil {
		time.Sleep(rand.N(50 * time.Millisecond)) // so that rounds differ
		load.Mark()
		err = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		_ = p.cmd.Process.Kill() // so that the clients end
		gone()
		load.Wait()
		return o, err
	}
	stalls := watchStalls()
	_ = p.wait() // the exit status has the error
	o.stall = stalls.end()
	ended := time.Now()
	gone()
	o.Result = load.Wait()
	o.exit = p.cmd.ProcessState.ExitCode()
	o.last = max(0, ended.Sub(o.LastReply))
	o.log, o.idleSince = cutIdle(p.stderr.String())
	if how != nil {
		o.stream = <-how
	}
	if ctx.Err() != nil {
		o.log += "\n" + context.Cause(ctx).Error()
	}
	return o, nil
}

// startLoad starts the clients of a cell. stop closes the proxy that they use.
func (c cell) startLoad(ctx context.Context, addr string) (r run, stop func(), err error) {
	if c.service.Protocol == rpc {
		r, err := startRPCLoad(ctx, addr, c.traffic)
		return r, func() {}, err
	}
	l := load.Clients{
		Mode: c.traffic.mode, N: clients, Addr: addr, Paths: c.traffic.paths(),
		Timeout: 20 * time.Second, Pause: c.traffic.pause, Streams: c.traffic.streams, Delay: c.traffic.delay,
	}
	if c.service.Protocol.tls() {
		cert, err := newCertificate()
		if err != nil {
			return nil, nil, err
		}
		if l.TLS, err = cert.Client(); err != nil {
			return nil, nil, err
		}
	}
	stop = func() {}
	if c.traffic.proxied {
		front := serveHTTP(newReverseProxy(addr))
		stop, l.Addr, l.Gone = front.Close, front.Listener.Addr().String(), goneStatus
	}
	return l.Start(ctx), stop, nil
}

// serveHTTP serves h on an address of its own.
func serveHTTP(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	if ln, err := net.Listen("tcp", loopback.Addr()); err == nil {
		srv.Listener.Close()
		srv.Listener = ln
	}
	srv.Start()
	return srv
}

// paths are the paths of the clients, in turn.
func (t traffic) paths() []string {
	if t.few {
		return []string{shortPath, longPath, longPath, longPath}
	}
	return []string{shortPath, longPath}
}

// short is how many clients send short requests.
func (t traffic) short() int { return clients / len(t.paths()) }

// waitFor waits until each client has begun and there are n answers.
func waitFor(ctx context.Context, r run, n int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for r.Began() < clients || r.Count() < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d clients and %d answers, after %d and %d: %w", clients, n, r.Began(), r.Count(), context.Cause(ctx))
		}
	}
	return nil
}

// A process is a service that runs as a child.
type process struct {
	cmd    *exec.Cmd
	addr   string
	stderr bytes.Buffer
}

// startProcess starts a service and waits until it listens.
func startProcess(ctx context.Context, s service) (*process, error) {
	config, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// The clients come first: a client that gets no processor leaves its connection idle,
	// whereas a service that gets none lingers for longer.
	p := &process{cmd: exec.CommandContext(ctx, "nice", "-n", "10", self)}
	// The environment is not inherited, because in a pod the lame duck would differ.
	p.cmd.Env = []string{childEnv + "=" + string(config), "PATH=" + os.Getenv("PATH")}
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = 20 * time.Second
	if _, err := p.cmd.StdinPipe(); err != nil { // stays open until this process ends, and the child with it
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("reading the service's address: %w\n%s", errors.Join(err, p.wait()), p.stderr.String())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

func (p *process) wait() error { return p.cmd.Wait() }
