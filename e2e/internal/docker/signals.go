//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// measureSignals stops a service that has a table of signals of its own, while a request is
// in progress.
func measureSignals(ctx context.Context, d *dockerd) (rows []report.Row, err error) {
	for _, s := range []struct {
		name     string
		shows    []string
		stops    []func(context.Context, *container) error
		code     string
		answered bool
		says     []string // messages of the log; the last is that of the row
	}{
		{
			"SIGUSR1 is Dump, SIGUSR2 is logged only, SIGHUP is Graceful",
			[]string{"R24"},
			[]func(context.Context, *container) error{kill("SIGUSR1"), kill("SIGUSR2"), kill("SIGHUP")},
			"0", true, []string{"shutdown: dump", "signals: ignored", "shutdown: finished"},
		},
		{
			"docker stop, SIGTERM is Immediate",
			[]string{"R24", "R28"},
			[]func(context.Context, *container) error{dockerStop},
			"143", false, []string{"shutdown: forced"},
		},
		{
			"SIGHUP is Graceful, then docker stop, SIGTERM is Immediate",
			[]string{"R24", "R29"},
			[]func(context.Context, *container) error{kill("SIGHUP"), dockerStop},
			"0", true, []string{"shutdown: finished"},
		},
	} {
		row := report.Row{Scenario: s.name, Service: "a table of signals", Requirements: s.shows, Rounds: 1}
		answered, log, err := stopInRequest(ctx, d, s.stops, &row)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", s.name, err)
		}
		row.ExitsOnly(s.code)
		for _, message := range s.says {
			says(&row, log, message)
		}
		if answered != s.answered {
			row.Problem("the request was answered: %t", answered)
		}
		if answered {
			row.Says += ", the request of 2 s was answered"
		} else if text := fmt.Sprint(find(log, "shutdown: forced")); strings.Contains(text, "GET /orders") {
			row.Says += ", GET /orders"
		} else {
			row.Problem("the log does not name the request: %s", text)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// stopInRequest stops a container while a request is in progress.
func stopInRequest(ctx context.Context, d *dockerd, stops []func(context.Context, *container) error, row *report.Row) (answered bool, log []line, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round had not ended after %v", roundLimit))
	defer cancel()
	c, err := d.run(ctx, signalsImage)
	if c != nil {
		defer func() { err = errors.Join(err, c.remove()) }()
	}
	if err != nil {
		return false, nil, err
	}
	resp, err := getWhenUp(ctx, "http://"+net.JoinHostPort(c.host, "8080")+"/orders")
	if err != nil {
		return false, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	ended, began := c.wait(ctx), time.Now()
	for _, stop := range stops {
		if err := stop(ctx, c); err != nil {
			return false, nil, err
		}
	}
	body, cut := io.ReadAll(resp.Body)
	end := <-ended
	row.Gone = append(row.Gone, time.Since(began))
	row.Exit(end.code)
	log, err = c.log(ctx)
	return cut == nil && string(body) == "tea", log, errors.Join(end.err, err)
}

// getWhenUp sends a request until it gets the header of a response.
func getWhenUp(ctx context.Context, url string) (*http.Response, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil || ctx.Err() != nil {
			return resp, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
