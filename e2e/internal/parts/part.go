//go:build linux

// Package parts says what a part of the end-to-end test is, and what it is given.
package parts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/internal/progress"
)

// A Part measures its rows on one platform.
type Part struct {
	Name  string // on the command line
	Title string

	// Programs are those that it needs. A short run may need fewer.
	Programs, ShortPrograms []string

	// Prepare installs and builds what the part needs, outside of the sandbox, where there
	// is a network. It may be nil.
	Prepare func(ctx context.Context) error

	// Measure runs in a sandbox. What it changes outside of its namespaces it undoes. An
	// error means that the rows are not complete; each row says what is not as it must be.
	Measure func(ctx context.Context, env *Env) (report.Table, error)
}

// An Env is what Measure is given.
type Env struct {
	Bin      string // directory of the programs, which are static
	Dir      string // for logs and state; it is kept if the part fails
	Short    bool   // a few scenarios, once each
	Progress *progress.Line
}

// The programs in Env.Bin.
const (
	Library = "service" // examples/kubernetes
	Naive   = "naive"   // examples/kubernetes/naive
	Init    = "shutdown-init"
	PreStop = "shutdown-prestop"
	Drill   = "shutdown-drill"
	Proxies = "proxies" // bench/proxies
	Worker  = "worker"  // examples/worker
	Job     = "job"     // of Kubernetes

	Discovery = "discovery" // examples/discovery

	SystemdService = "systemd-service" // uses package systemd
	DockerSignals  = "docker-signals"  // has a table of signals of its own
)

// Program returns the path of a program.
func (e *Env) Program(name string) string { return filepath.Join(e.Bin, name) }

// packages are those of the programs.
var packages = map[string]string{
	Library:   "./examples/kubernetes",
	Naive:     "./examples/kubernetes/naive",
	Init:      "./cmd/shutdown-init",
	PreStop:   "./cmd/shutdown-prestop",
	Drill:     "./cmd/shutdown-drill",
	Proxies:   "./bench/proxies",
	Worker:    "./examples/worker",
	Job:       "./e2e/internal/kubernetes/job",
	Discovery: "./examples/discovery",

	SystemdService: "./e2e/internal/systemd/service",
	DockerSignals:  "./e2e/internal/docker/signals",
}

// Build builds programs into a directory. The current directory is the root of the
// repository.
func Build(ctx context.Context, bin string, programs []string) error {
	for _, name := range programs {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(bin, name), packages[name])
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // images are made FROM scratch
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("building %s: %w", name, err)
		}
	}
	return nil
}
