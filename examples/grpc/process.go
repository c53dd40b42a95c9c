package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// gracePeriod and lameDuck are the environment that a deployment sets. Without a request
// to leave, the grace period ends a chat.
const (
	gracePeriod       = "SHUTDOWN_GRACE_PERIOD=30s"
	silentGracePeriod = "SHUTDOWN_GRACE_PERIOD=10s"
	lameDuck          = "SHUTDOWN_LAME_DUCK=500ms"
)

// A process is a server that runs as a child.
type process struct {
	cmd  *exec.Cmd
	name string
	addr string
	once sync.Once
}

// startServer starts this program as a server. The server gets SIGTERM when ctx ends.
func startServer(ctx context.Context, out *output, name string, silent bool) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.CommandContext(ctx, self, "-server", "127.0.0.1:0", fmt.Sprintf("-silent=%t", silent))}
	grace := gracePeriod
	if silent {
		grace = silentGracePeriod
	}
	p.cmd.Env = append(os.Environ(), grace, lameDuck)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 30 * time.Second
	addr := make(chan string, 1)
	w := &lineWriter{line: func(text string) {
		out.line(name, text)
		if at, ok := strings.CutPrefix(text, listening); ok {
			addr <- at
		}
	}}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	select {
	case p.addr = <-addr:
		return p, nil
	case <-time.After(time.Minute):
		return nil, errors.Join(fmt.Errorf("%s does not listen", name), p.cmd.Process.Kill(), p.cmd.Wait())
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), p.cmd.Wait())
	}
}

// end sends SIGTERM to the server, waits for its exit, and returns the exit code. A second
// call returns the same.
func (p *process) end() (exitCode int) {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has exited
		_ = p.cmd.Wait()                          // the exit code is what matters
	})
	return p.cmd.ProcessState.ExitCode()
}

// An output takes the lines of the servers and the client.
type output struct {
	mu sync.Mutex // protects w
	w  io.Writer
}

func (o *output) line(from, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.w, "%-8s | %s\n", from, text)
}

// A lineWriter splits what is written to it into lines.
type lineWriter struct {
	rest []byte
	line func(string)
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.line(string(line))
		w.rest = rest
	}
}
