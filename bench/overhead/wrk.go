package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
)

func findWrk() error {
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("looking for the load generator wrk (Debian and Ubuntu: apt-get install wrk): %w", err)
	}
	return nil
}

// A result is the result of one measurement.
type result struct {
	perSecond float64 // requests
	p50, p99  time.Duration
	cpu       time.Duration // of the server for a request; 0 if unknown
}

// load runs wrk against a server.
func load(ctx context.Context, server *child.Process, clients, seconds int) (result, error) {
	before := cpuTime(server.Process.Pid)
	cmd := exec.CommandContext(ctx, "wrk", "-t1", fmt.Sprintf("-c%d", clients), fmt.Sprintf("-d%ds", seconds),
		"--timeout", "30s", // a stall longer than wrk's own 2 s is not an error
		"--latency", "http://"+server.Addr+path)
	cmd.WaitDelay = 20 * time.Second // for its output
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w, and wrote:\n%s", errors.Join(err, context.Cause(ctx)), out)
	}
	r, requests, err := parseWrk(string(out))
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w in:\n%s", err, out)
	}
	r.cpu = (cpuTime(server.Process.Pid) - before) / time.Duration(requests)
	return r, nil
}

var (
	wrkTotal  = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkRate   = regexp.MustCompile(`(?m)^Requests/sec:\s*([\d.]+)`)
	wrkP50    = regexp.MustCompile(`(?m)^\s*50%\s+([\d.]+[a-z]+)`)
	wrkP99    = regexp.MustCompile(`(?m)^\s*99%\s+([\d.]+[a-z]+)`)
	wrkErrors = regexp.MustCompile(`(?m)^\s*(Socket errors|Non-2xx).*`)
)

func parseWrk(out string) (r result, requests int, err error) {
	if line := wrkErrors.FindString(out); line != "" {
		return result{}, 0, errors.New("requests that failed")
	}
	field := func(re *regexp.Regexp) string {
		found := re.FindStringSubmatch(out)
		if found == nil {
			err = errors.Join(err, fmt.Errorf("no %s", re))
			return ""
		}
		return found[1]
	}
	total, rate, p50, p99 := field(wrkTotal), field(wrkRate), field(wrkP50), field(wrkP99)
	if err != nil {
		return result{}, 0, err
	}
	var errs [4]error
	requests, errs[0] = strconv.Atoi(total)
	r.perSecond, errs[1] = strconv.ParseFloat(rate, 64)
	r.p50, errs[2] = time.ParseDuration(p50)
	r.p99, errs[3] = time.ParseDuration(p99)
	if requests == 0 {
		errs[0] = errors.Join(errs[0], errors.New("no requests"))
	}
	return r, requests, errors.Join(errs[:]...)
}
