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
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
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

// Main is the main function of a program that measures. It runs the role in which this
// process was started. Without one it parses the command line and measures, until SIGINT
// or SIGTERM at the latest. It exits with status 2 if the command line is wrong, and with 1
// after another error.
func Main[P any](name string, roles map[string]func(context.Context, []string), parse func(args []string, usage io.Writer) (P, error), measure func(context.Context, P) error) {
	if RunRole(roles) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fail := func(status int, err error) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(status)
	}
	p, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fail(2, err)
	}
	if err := measure(ctx, p); err != nil {
		fail(1, err)
	}
}

// A Process is a child that serves.
type Process struct {
	*exec.Cmd
	Addr string // on which it listens: the first line of its output

	ctx    context.Context // its end kills the child
	stdin  io.Closer
	stderr bytes.Buffer
}

// Command returns the command that runs this program again in a role. The child's role is
// told to end when stdin is closed, or when this process ends.
func Command(ctx context.Context, role string, args ...string) (cmd *exec.Cmd, stdin io.Closer, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.WaitDelay = unwind // for its output
	if stdin, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	return cmd, stdin, nil
}

// Start starts this program in a role, and waits until it has written the address on
// which it listens. The end of ctx kills the child. The caller has to call Wait or
// Stop.
func Start(ctx context.Context, role string, args ...string) (*Process, error) {
	cmd, stdin, err := Command(ctx, role, args...)
	if err != nil {
		return nil, err
	}
	p := &Process{Cmd: cmd, ctx: ctx, stdin: stdin}
	p.Stderr = &p.stderr
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
