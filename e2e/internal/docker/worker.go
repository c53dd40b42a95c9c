//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// measureWorkers stops examples/worker, which has results in memory, while a request hangs.
// docker kill shows that they are lost if nobody writes them.
func measureWorkers(ctx context.Context, d *dockerd) (rows []report.Row, err error) {
	for _, s := range []struct {
		name  string
		stop  func(context.Context, *container) error
		code  string
		wrote bool
	}{
		{"results in memory, a request hangs", dockerStop, "1", true},
		{"results in memory, docker kill", kill("SIGKILL"), "137", false},
	} {
		row := report.Row{Scenario: s.name, Service: "examples/worker", Requirements: []string{"R8"}, Rounds: 1}
		inMemory, onDisk, err := stopWorker(ctx, d, s.stop, &row)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", s.name, err)
		}
		row.ExitsOnly(s.code)
		row.Says = fmt.Sprintf("%d results in memory before, %d on disk after", inMemory, onDisk)
		if wrote := onDisk >= inMemory; wrote != s.wrote {
			row.Problem("%s", row.Says)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func stopWorker(ctx context.Context, d *dockerd, stop func(context.Context, *container) error, row *report.Row) (inMemory, onDisk int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round had not ended after %v", roundLimit))
	defer cancel()
	c, err := d.run(ctx, workerImage, "-addr", ":8081", "-job", "5ms")
	if c != nil {
		defer func() { err = errors.Join(err, c.remove()) }()
	}
	if err != nil {
		return 0, 0, err
	}
	url := "http://" + net.JoinHostPort(c.host, "8081")
	for inMemory < 50 {
		if inMemory, err = results(ctx, url); err != nil && ctx.Err() != nil {
			return 0, 0, errors.Join(context.Cause(ctx), err)
		}
	}
	hung, err := net.Dial("tcp", net.JoinHostPort(c.host, "8081"))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = hung.Close() }()
	if _, err := io.WriteString(hung, "GET /forever HTTP/1.1\r\nHost: worker\r\n\r\n"); err != nil {
		return 0, 0, err
	}
	if inMemory, err = results(ctx, url); err != nil {
		return 0, 0, err
	}
	ended, began := c.wait(ctx), time.Now()
	if err := stop(ctx, c); err != nil {
		return 0, 0, err
	}
	end := <-ended
	row.Gone = append(row.Gone, time.Since(began))
	row.Exit(end.code)
	text, err := os.ReadFile(filepath.Join(c.record, "results.txt"))
	return inMemory, strings.Count(string(text), "\n"), errors.Join(end.err, err)
}

// results returns the number of results in memory.
func results(ctx context.Context, url string) (n int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(text), &n)
	return n, err
}
