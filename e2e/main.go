//go:build linux

// E2e shuts services down on real platforms, under load, and writes down what was lost.
//
//	go run ./e2e
//	go run ./e2e docker
//	go run ./e2e -write
//
// It needs root, on a Debian machine with Go, and the repository's root as its current
// directory. It installs the packages that are missing. Kubernetes is built from its
// sources, which takes some minutes once; the user's cache directory keeps it.
//
// The parts are docker, kubernetes, systemd and proxies; without arguments all run, one
// after another. Each runs in namespaces of its own (network, mounts, processes), which end
// with it, and afterwards the state of the machine is compared with that before. The
// services are examples/kubernetes and, as the control, examples/kubernetes/naive, which is
// what people write without a library.
//
// Only one can run at a time, because the cgroups have no namespace; a second one fails.
//
// It exits with status 1 if something is not as it must be. The logs of a part that fails
// are kept.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/docker"
	"github.com/gracefulgo/shutdown/e2e/internal/kubernetes"
	"github.com/gracefulgo/shutdown/e2e/internal/machine"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/proxies"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/e2e/internal/sandbox"
	"github.com/gracefulgo/shutdown/e2e/internal/systemd"
	"github.com/gracefulgo/shutdown/internal/progress"
)

var all = []parts.Part{docker.Part, kubernetes.Part, systemd.Part, proxies.Part}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if sandbox.Inside() {
		if err := measure(ctx, os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
			os.Exit(1)
		}
		return
	}
	p, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		os.Exit(2)
	}
	if err := p.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		os.Exit(1)
	}
}

// A plan is what the command line asks for.
type plan struct {
	parts []parts.Part
	short bool
	write bool
}

func parse(args []string, usage io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("e2e", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.BoolVar(&p.short, "short", false, "few scenarios, with few stops each")
	flags.BoolVar(&p.write, "write", false, "write the table of each part without a problem into docs/e2e.md and README.md")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	for _, name := range flags.Args() {
		n := slices.IndexFunc(all, func(part parts.Part) bool { return part.Name == name })
		if n < 0 {
			return plan{}, fmt.Errorf("no part %q; the parts are %s", name, names())
		}
		p.parts = append(p.parts, all[n])
	}
	if len(p.parts) == 0 {
		p.parts = all
	}
	if p.write && p.short {
		return plan{}, errors.New("-write and -short exclude each other: the documentation has all scenarios")
	}
	if os.Geteuid() != 0 {
		return plan{}, errors.New("it needs root, for namespaces and containers")
	}
	if _, err := os.Stat("go.work"); err != nil {
		return plan{}, fmt.Errorf("the current directory must be the repository's root: %w", err)
	}
	return p, nil
}

// programs are those of all parts, and the PID 1 of the sandbox.
func (p plan) programs() []string {
	programs := []string{parts.Init}
	for _, part := range p.parts {
		if p.short && part.ShortPrograms != nil {
			programs = append(programs, part.ShortPrograms...)
		} else {
			programs = append(programs, part.Programs...)
		}
	}
	slices.Sort(programs)
	return slices.Compact(programs)
}

func names() string {
	var names []string
	for _, part := range all {
		names = append(names, part.Name)
	}
	return strings.Join(names, ", ")
}

// lock fails if another process on this machine has the lock of that name. An abstract socket
// needs no file, and ends with the process.
func lock(name string) (io.Closer, error) {
	ln, err := net.Listen("unix", "@"+name)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errors.New("another go run ./e2e has not ended")
	}
	return ln, err
}

func (p plan) run(ctx context.Context) error {
	running, err := lock("shutdown-e2e")
	if err != nil {
		return err
	}
	defer func() { _ = running.Close() }()
	bin, err := os.MkdirTemp("", "shutdown-e2e-bin-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	if err := os.Chmod(bin, 0o755); err != nil { // users of containers read it
		return err
	}
	if err := parts.Build(ctx, bin, p.programs()); err != nil {
		return err
	}
	for _, part := range p.parts {
		if part.Prepare == nil {
			continue
		}
		if err := part.Prepare(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.Name, err)
		}
	}
	began := time.Now()
	var failed []error
	for _, part := range p.parts {
		table, err := p.part(ctx, part, bin)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", part.Name, err))
		}
		fmt.Printf("## %s\n\n%s\n\n", table.Title, table.Versions)
		table.Print(os.Stdout)
		problems := table.Problems()
		for _, problem := range problems {
			failed = append(failed, errors.New(problem))
		}
		if p.write && err == nil && len(problems) == 0 {
			failed = append(failed, write(table))
		}
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Printf("took %v\n", time.Since(began).Round(time.Second))
	return errors.Join(failed...)
}

// part runs a part in a sandbox. The logs are kept if it fails.
func (p plan) part(ctx context.Context, part parts.Part, bin string) (table report.Table, err error) {
	table.Part, table.Title = part.Name, part.Title
	dir, err := os.MkdirTemp("", "shutdown-e2e-"+part.Name+"-")
	if err != nil {
		return table, err
	}
	defer func() {
		if err != nil || len(table.Problems()) > 0 {
			err = errors.Join(err, fmt.Errorf("its logs are in %s", dir))
			return
		}
		err = os.RemoveAll(dir)
	}()
	before, err := machine.Now(ctx)
	if err != nil {
		return table, err
	}
	mark := filepath.Base(dir)
	if err := os.Setenv(machine.Mark, mark); err != nil {
		return table, err
	}
	args := []string{part.Name, bin, dir}
	if p.short {
		args = append(args, "short")
	}
	ran := sandbox.Run(ctx, filepath.Join(bin, parts.Init), args...)
	ran = errors.Join(ran, machine.RemoveCgroups()) // its processes have ended with PID 1
	text, err := os.ReadFile(filepath.Join(dir, rows))
	if err == nil {
		err = json.Unmarshal(text, &table)
	}
	err = errors.Join(ran, err)
	after, failed := machine.Now(context.WithoutCancel(ctx))
	for _, line := range append(before.Difference(after), machine.Left(mark)...) {
		err = errors.Join(err, fmt.Errorf("the machine is not as it was: %s", line))
	}
	return table, errors.Join(err, failed)
}

// rows is the file in which a part in its sandbox writes its table.
const rows = "table.json"

// measure runs a part in its sandbox.
func measure(ctx context.Context, args []string) error {
	part := all[slices.IndexFunc(all, func(p parts.Part) bool { return p.Name == args[0] })]
	env := &parts.Env{Bin: args[1], Dir: args[2], Short: len(args) > 3, Progress: progress.New(os.Stderr)}
	table, err := part.Measure(ctx, env)
	env.Progress.End()
	table.Part, table.Title = part.Name, part.Title
	text, failed := json.MarshalIndent(table, "", "\t")
	if failed == nil {
		failed = os.WriteFile(filepath.Join(env.Dir, rows), text, 0o644)
	}
	return errors.Join(err, failed)
}
