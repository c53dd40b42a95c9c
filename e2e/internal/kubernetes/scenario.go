//go:build linux

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/cluster"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

// A scenario is a row of the table.
type scenario struct {
	name     string
	service  string
	shows    []string // requirements
	replicas int      // 0 means 3, as in kubernetes.yaml
	pod      string   // patch of the spec of the pods, a strategic merge, in YAML of one line
	rounds   int      // how often stop is called; 0 means once
	short    bool     // part of the short run
	head     bool     // in the README

	// stop stops one pod or more, and returns the names of those that have to go.
	stop func(ctx context.Context, r *round) (going []string, err error)

	// expect completes the row, and says what is not as it must be.
	expect func(row *report.Row, r *round)
}

// A round is one call of stop, under load.
type round struct {
	*deployment
	before []string // the pods at its start
	rules  *rules
	ends   []end  // of containers that have ended in it
	says   string // if it is not the message of a container
}

// roundLimit bounds a round. The longest takes 40 s.
const roundLimit = 2 * time.Minute

// afterwards is how long the load goes on when all is as it is to be.
const afterwards = 2 * time.Second

// measure does the rounds. An error means that the row is not complete.
func (s *scenario) measure(ctx context.Context, c *cluster.Cluster, env *parts.Env, namespace string) (row report.Row, err error) {
	row = report.Row{Scenario: s.name, Service: s.service, Requirements: s.shows, Head: s.head}
	rounds, replicas := max(1, s.rounds), s.replicas
	if env.Short {
		rounds = 1
	}
	if replicas == 0 {
		replicas = 3
	}
	fail := func(err error) error { return fmt.Errorf("%s, %s: %w", s.name, s.service, err) }
	timed, cancel := limited(ctx)
	defer cancel()
	env.Progress.Show(fmt.Sprintf("kubernetes: %s, %s: deployment", s.name, s.service))
	d, err := deploy(timed, c, env.Dir, namespace, replicas, s.pod)
	if d != nil {
		defer func() {
			if err != nil || len(row.Problems) > 0 {
				text := fmt.Sprintf("%q\n%+v\nkube-proxy sent to pods that were leaving: %v\nof the refused dials, those without an answer: %q\n\n%s",
					row.Problems, row, d.sentTo, d.unanswered, d.state())
				_ = os.WriteFile(filepath.Join(env.Dir, namespace+".txt"), []byte(text), 0o644)
			} else {
				_ = os.RemoveAll(filepath.Join(env.Dir, namespace))
				_ = os.Remove(d.log)
			}
			err = errors.Join(err, d.remove(context.WithoutCancel(ctx)))
		}()
	}
	if err != nil {
		return row, fail(err)
	}
	var last *round
	for n := range rounds {
		env.Progress.Show(fmt.Sprintf("kubernetes: %s, %s: %d of %d", s.name, s.service, n+1, rounds))
		if last, err = s.round(ctx, d, &row); err != nil {
			return row, fail(err)
		}
	}
	s.expect(&row, last)
	return row, nil
}

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round had not ended after %v", roundLimit))
}

func (s *scenario) round(ctx context.Context, d *deployment, row *report.Row) (*round, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	r := &round{deployment: d, before: d.pods.ready()}
	unfollow, err := d.follow(ctx)
	if err != nil {
		return nil, err
	}
	defer unfollow()
	load, err := traffic.Start(ctx, d.address, true)
	if err != nil {
		return nil, err
	}
	var unwatch func() error
	r.rules, unwatch = watchRules(ctx)
	going, err := s.stop(ctx, r)
	if err == nil {
		err = d.pods.awaitGone(ctx, going)
	}
	if err == nil {
		err = d.awaitReady(ctx)
	}
	if err == nil {
		select {
		case <-time.After(afterwards):
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	row.Load.Add(load.Stop())
	for kind, n := range load.Unanswered {
		d.unanswered = append(d.unanswered, fmt.Sprintf("%s %d", kind, n))
	}
	if err := errors.Join(err, unwatch()); err != nil {
		return nil, err
	}
	r.collect(row)
	return r, nil
}

// collect adds what has ended in the round to the row.
func (r *round) collect(row *report.Row) {
	for _, name := range r.before {
		s := r.pods.of(name)
		if s.gone.IsZero() && s.pod.restarts() == 0 {
			continue
		}
		row.Rounds++
		if !s.gone.IsZero() {
			row.Gone = append(row.Gone, s.gone.Sub(s.leaving))
			r.sentTo = append(r.sentTo, r.rules.had(s.pod.Status.PodIP, s.leaving))
		}
		code := "unknown"
		for _, e := range s.ends {
			r.ends = append(r.ends, e)
			if e.container == "orders" {
				code = strconv.Itoa(e.ExitCode)
				row.Says = shortened(e.terminated)
			}
		}
		row.Exit(code)
	}
	if r.says != "" {
		row.Says = r.says
	}
}

// message returns the message of the service's container that ended last.
func (r *round) message() string {
	for _, e := range slices.Backward(r.ends) {
		if e.container == "orders" {
			return e.Message
		}
	}
	return ""
}

// shortened is the start of the message, without lists and the timeline.
func shortened(t terminated) string {
	first, rest, _ := strings.Cut(t.Message, "\n")
	text := strings.TrimPrefix(first, "shutdown: ")
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "cut off: ") {
			text += "; " + strings.TrimSpace(line)
		}
	}
	if t.Reason != "Completed" && t.Reason != "Error" {
		text = strings.TrimPrefix(t.Reason+": "+text, ": ")
	}
	const most = 160
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
