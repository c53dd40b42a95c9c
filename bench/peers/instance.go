package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// limit is how long after its first signal an instance is killed.
const limit = 15 * time.Second

// startLimit bounds the time until an instance serves.
const startLimit = 30 * time.Second

// An instance is a child process that serves.
type instance struct {
	peer    *peer
	cmd     *exec.Cmd
	addr    string
	output  *os.File      // what it writes to its standard output and standard error
	read    chan struct{} // closed when all events have been read
	exited  chan struct{} // closed when it has exited, after ended was set
	ended   time.Time
	mu      sync.Mutex    // protects what follows
	events  []string      // so far
	changed chan struct{} // closed, and replaced, when events has grown
}

// start starts a peer. The caller has to call wait, which removes what start has made.
func (b *bench) start(ctx context.Context, p *peer, s service.Service) (*instance, error) {
	addr, err := loopback.FreeAddr()
	if err != nil {
		return nil, err
	}
	if p.grpc {
		s.GRPC = addr
	} else {
		s.HTTP = addr
	}
	args, err := json.Marshal(&s)
	if err != nil {
		return nil, err
	}
	cmd, _, err := child.Command(ctx, p.name, string(args))
	if err != nil {
		return nil, err
	}
	if p.serve == nil {
		cmd.Path = b.gozero
	}
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool {
		// They would give the library a grace period or a lame duck.
		return strings.HasPrefix(v, "SHUTDOWN_") && !strings.HasPrefix(v, "SHUTDOWN_BENCH_") || strings.HasPrefix(v, "KUBERNETES_")
	})
	i := &instance{peer: p, cmd: cmd, addr: addr, read: make(chan struct{}), exited: make(chan struct{}), changed: make(chan struct{})}
	i.output, err = os.Create(filepath.Join(b.dir, strconv.FormatInt(b.outputs.Add(1), 10)))
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = i.output, i.output
	events, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{writer}
	err = cmd.Start()
	writer.Close()
	if err != nil {
		events.Close()
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go i.readEvents(events)
	go func() {
		defer close(i.exited)
		_ = cmd.Wait() // ProcessState has the result
		i.ended = time.Now()
	}()
	return i, nil
}

func (i *instance) readEvents(from *os.File) {
	defer close(i.read)
	defer from.Close()
	for lines := bufio.NewScanner(from); lines.Scan(); {
		i.mu.Lock()
		i.events = append(i.events, lines.Text())
		close(i.changed)
		i.changed = make(chan struct{})
		i.mu.Unlock()
	}
}

// await waits for an event.
func (i *instance) await(ctx context.Context, event string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("no event %q after %v", event, startLimit))
	defer cancel()
	for {
		i.mu.Lock()
		happened, changed := slices.Contains(i.events, event), i.changed
		i.mu.Unlock()
		if happened {
			return nil
		}
		select {
		case <-changed:
		case <-i.exited:
			return fmt.Errorf("%s has exited before the event %q", i.peer.name, event)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// awaitServing waits until the instance accepts connections.
func (i *instance) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("%s does not listen after %v", i.peer.name, startLimit))
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", i.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-i.exited:
			return fmt.Errorf("%s has exited before it listened", i.peer.name)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// signal sends a signal, unless the instance has exited.
func (i *instance) signal(sig os.Signal) error {
	if err := i.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", sig, i.peer.name, err)
	}
	return nil
}

// An exit is how an instance ended.
type exit struct {
	code  int           // 128+n if signal n ended it
	never bool          // it had to be killed
	after time.Duration // from signaled to the end
}

func (e exit) String() string {
	if e.never {
		return "never"
	}
	return strconv.Itoa(e.code)
}

// wait waits until the instance has exited, or kills it at the limit, counted from
// signaled. It returns the exit, the events, and the output from offset on.
func (i *instance) wait(signaled time.Time, offset int64) (exit, []string, string) {
	never := false
	select {
	case <-i.exited:
	case <-time.After(time.Until(signaled.Add(limit))):
		never = true
		_ = i.cmd.Process.Kill() // it fails if the process has just exited
		<-i.exited
	}
	<-i.read
	defer i.output.Close()
	e := exit{code: i.cmd.ProcessState.ExitCode(), never: never, after: i.ended.Sub(signaled)}
	if status, ok := i.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.code = 128 + int(status.Signal())
	}
	text, err := os.ReadFile(i.output.Name())
	_ = os.Remove(i.output.Name()) // measure removes the folder
	if err != nil || int64(len(text)) < offset {
		return e, i.events, ""
	}
	return e, i.events, string(text[offset:])
}

// written is how much the instance has written.
func (i *instance) written() int64 {
	info, err := i.output.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// abort kills the instance, and adds what it wrote to the error.
func (i *instance) abort(err error) error {
	_ = i.cmd.Process.Kill() // it fails if the process has exited
	_, _, output := i.wait(time.Now(), 0)
	if output = strings.TrimSpace(output); output != "" {
		const most = 4000
		err = fmt.Errorf("%w; it wrote:\n%s", err, output[max(0, len(output)-most):])
	}
	return err
}
