// Package child runs this program again, as a child process that plays a role.
//
// A child never outlives its parent: its standard input is a pipe that the
// parent holds open and never writes to, and the end of that is the child's.
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

// unwind is what a role has to return in when its context has ended.
const unwind = 10 * time.Second

// Play plays the role that this process was started in, and reports whether
// there was one; call it first thing in main. The role's context ends when the
// parent stops the child, or dies. A role that does not return soon after that
// ends with the process.
func Play(roles map[string]func(ctx context.Context, args []string)) bool {
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
	Addr string // where it listens: the first line it has written

	ctx    context.Context // kills it when it ends
	stdin  io.Closer
	stderr bytes.Buffer
}

// Start starts this program in a role, and returns when it has written the
// address on which it listens. The end of ctx kills it. The caller has to call
// Wait or Stop.
func Start(ctx context.Context, role string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Cmd: exec.CommandContext(ctx, self, args...), ctx: ctx}
	p.Env = append(os.Environ(), roleVariable+"="+role)
	p.Stderr = &p.stderr
	p.WaitDelay = unwind // for what it wrote
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

// Stop tells the child to end, and waits for it.
func (p *Process) Stop() error {
	_ = p.stdin.Close() // closed already if it has been stopped before
	late := time.AfterFunc(2*unwind, func() { _ = p.Process.Kill() })
	defer late.Stop()
	return p.Wait()
}

// Wait waits for the child to end by itself. The error says why it did not end
// well, and what it wrote.
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
