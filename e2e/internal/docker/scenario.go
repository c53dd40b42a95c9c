//go:build linux

package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

// A scenario is a row of the table.
type scenario struct {
	name    string
	service string
	shows   []string // requirements
	run     []string // docker run: arguments, image, command
	rounds  int
	short   bool // part of the short run
	head    bool // in the README
	hung    bool // with a request whose handler does not return

	// stop stops the container; nil means docker stop.
	stop func(ctx context.Context, c *container) error

	// after is called when the container has ended; it may be nil.
	after func(ctx context.Context, c *container, row *report.Row) error

	// expect completes the row, and says what is not as it must be. log is that of the last
	// round.
	expect func(row *report.Row, log []line)
}

// roundLimit bounds a round. The longest takes 15 s.
const roundLimit = time.Minute

// measure does the rounds. An error means that the row is not complete.
func (s *scenario) measure(ctx context.Context, d *dockerd, env *parts.Env) (report.Row, error) {
	row := report.Row{Scenario: s.name, Service: s.service, Requirements: s.shows, Rounds: s.rounds, Head: s.head}
	if env.Short {
		row.Rounds = min(2, s.rounds)
	}
	var last []line
	for n := range row.Rounds {
		env.Progress.Show(fmt.Sprintf("docker: %s, %s: stop %d of %d", s.name, s.service, n+1, row.Rounds))
		ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round had not ended after %v", roundLimit))
		lines, err := s.round(ctx, d, &row)
		cancel()
		if err != nil {
			return row, fmt.Errorf("%s, %s: %w", s.name, s.service, err)
		}
		last = lines
	}
	s.expect(&row, last)
	return row, nil
}

func (s *scenario) round(ctx context.Context, d *dockerd, row *report.Row) (log []line, err error) {
	c, err := d.run(ctx, s.run...)
	if c != nil {
		defer func() {
			if failed := c.remove(); err == nil {
				err = failed
			}
		}()
	}
	if err != nil {
		return nil, err
	}
	stop := s.stop
	if stop == nil {
		stop = dockerStop
	}
	err = traffic.StopUnderLoad(ctx, row, c.host, s.hung, func(ctx context.Context) (string, error) {
		ended := c.wait(ctx)
		if err := stop(ctx, c); err != nil {
			return "", err
		}
		end := <-ended
		return end.code, end.err
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.output())
	}
	log, err = c.log(ctx)
	if err == nil && s.after != nil {
		err = s.after(ctx, c, row)
	}
	return log, err
}

// output is what the container has written, for errors.
func (c *container) output() string {
	ctx, cancel := context.WithTimeout(context.Background(), cliLimit)
	defer cancel()
	out, _ := c.command(ctx, "logs", "--tail", "20", c.name).CombinedOutput()
	return string(out)
}

func dockerStop(ctx context.Context, c *container) error {
	_, err := c.docker(ctx, "stop", c.name)
	return err
}

// says puts the line of the log with the result, or one that starts with the message, into
// the row.
func says(row *report.Row, log []line, messages ...string) line {
	for _, message := range messages {
		if l := find(log, message); l != nil {
			row.Says = strings.TrimPrefix(fmt.Sprint(l["msg"]), "shutdown: ")
			return l
		}
	}
	row.Problem("the log has no line %q", messages)
	return nil
}
