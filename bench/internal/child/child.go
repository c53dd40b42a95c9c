// Package child runs this program again, as a child process in one of several roles.
//
// A child does not outlive its parent: its standard input is a pipe to which the
// parent never writes, and at the end of which the child ends.
package child

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const roleVariable = "SHUTDOWN_BENCH_ROLE"

// unwind is how long a role has to return after its context has ended.
const unwind = 10 * time.Second

// RunRole runs the role in which this process was started, and reports whether there
// was one. Call it first in main. The role's context ends when the parent stops the
// child or dies. If the role does not return within 10 seconds after that, the process
// exits.
func RunRole(roles map[string]func(ctx context.Context, args []string)) bool {
	name, ok := os.LookupEnv(roleVariable)
	if !ok {
		return false
	}
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown role %q\n", name)
		os.Exit(2)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
		time.Sleep(unwind)
		os.Exit(1)
	}()
	role(ctx, os.Args[1:])
	return true
}

// A Process is a child that serves.
type Process struct {
	*exec.Cmd
	Addr string // on which it listens: the first line of its output

	ctx    context.Context // its end kills the child
	stdin  io.Closer
	stderr bytes.Buffer
}

// Start starts this program in a role, and waits until it has written the address on
// which it listens. The end of ctx kills the child. The caller has to call Wait or
// Stop.
func Start(ctx context.Context, role string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Cmd: exec.CommandContext(ctx, self, args...), ctx: ctx}
	p.Env = append(os.Environ(), roleVariable+"="+role)
	p.Stderr = &p.stderr
	p.WaitDelay = unwind // for its output
	if p.stdin, err = p.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("reading the address of %q: %w", role, errors.Join(err, p.Stop()))
	}
	p.Addr = strings.TrimSpace(addr)
	return p, nil
}

// Stop ends the role's context and waits for the child to end. It kills a child that
// does not.
func (p *Process) Stop() error {
	_ = p.stdin.Close() // it fails if Stop was called before
	kill := time.AfterFunc(2*unwind, func() { _ = p.Process.Kill() })
	defer kill.Stop()
	return p.Wait()
}

// Wait waits for the child to end by itself. The error says why the exit status is not
// 0, with the child's standard error.
func (p *Process) Wait() error {
	err := p.Cmd.Wait()
	if err == nil {
		return nil
	}
	if cause := context.Cause(p.ctx); cause != nil {
		err = errors.Join(err, cause)
	}
	if text := strings.TrimSpace(p.stderr.String()); text != "" {
		err = fmt.Errorf("%w, and wrote:\n%s", err, text)
	}
	return err
}
