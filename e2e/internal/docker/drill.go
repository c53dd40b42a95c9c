//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/internal/load"
)

// measureDrill lets shutdown-drill stop containers, as its documentation says: with a
// published port, docker-proxy accepts connections for a service that has closed its port.
func measureDrill(ctx context.Context, env *parts.Env) (rows []report.Row, err error) {
	for _, s := range []struct {
		service, image string
		passes         bool
	}{
		{library, libraryImage, true},
		{naive, naiveImage, false},
	} {
		row := report.Row{Scenario: "shutdown-drill, docker run, docker stop", Service: s.service}
		if s.passes {
			row.Requirements = []string{"R7"}
		}
		env.Progress.Show("docker: " + row.Scenario + ", " + row.Service)
		verdict, err := drill(ctx, env, s.image)
		if err != nil {
			return rows, fmt.Errorf("%s, %s: %w", row.Scenario, row.Service, err)
		}
		row.Rounds = verdict.Shutdowns
		for _, r := range verdict.Rows {
			row.Load.Add(load.Result{Requests: r.Requests, Lost: r.Lost, Delayed: r.Delayed})
		}
		for code, n := range verdict.Exits {
			for range n {
				row.Exit(code)
			}
		}
		row.Says = "passes"
		if !verdict.OK {
			row.Says = "fails: " + strings.Join(verdict.Problems, " ")
		}
		if verdict.OK != s.passes {
			row.Problem("the drill %s", row.Says)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// A verdict is what shutdown-drill --json prints.
type verdict struct {
	OK        bool
	Problems  []string
	Shutdowns int
	Exits     map[string]int
	Rows      []struct {
		Requests, Delayed int
		Lost              map[string]int
	}
}

func drill(ctx context.Context, env *parts.Env, image string) (v verdict, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*roundLimit, errors.New("the drill had not ended after three minutes"))
	defer cancel()
	cmd := exec.CommandContext(ctx, env.Program(parts.Drill), "--json",
		"--url", "http://127.0.0.1:8080/orders", "--body", `{"item":"tea","quantity":1}`, "-H", "Content-Type: application/json",
		"--mode", "new,keepalive", "--stop-command", "docker stop app", "--",
		"docker", "run", "--rm", "--name", "app", "--network", "host", image)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+socket)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) && failed.ExitCode() == 1 {
		err = nil // it has a result
	}
	err = errors.Join(err, json.Unmarshal(out, &v))
	return v, err
}
