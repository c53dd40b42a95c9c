// Package drill shuts programs down under load, again and again, and reports what their
// clients and the process table have seen. The program shutdown-drill is made of it, and
// so is examples/zerodrop.
package drill

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/progress"
)

// A Plan says how targets are shut down.
type Plan struct {
	Targets []Target
	Modes   []load.Mode // empty means new connections, keep-alive and, if the program speaks it, HTTP/2
	Rounds  int         // shutdowns of each target in each mode
	Clients int

	Signal      os.Signal
	StopCommand string        // for a shell; takes the place of Signal
	Start       time.Duration // limit for a program to answer its first request
	Grace       time.Duration // from the stop until the program is killed

	Output   *os.File // where the programs write to; nil means that errors quote the end of it
	Progress *os.File // nil means none
}

// Run runs the rounds, targets and modes in turn, so that other work of the machine
// affects all of them alike. It ends after a round in which a program had to be killed. An
// error means that there is no result.
func (p Plan) Run(ctx context.Context) (Result, error) {
	line := progress.New(p.Progress)
	defer line.End()
	rows := p.rows(p.firstModes())
	for n := range p.Rounds {
		for i := 0; i < len(rows); i++ {
			row := rows[i]
			line.Show(fmt.Sprintf("round %d of %d: %s; lost so far: %s", n+1, p.Rounds, row.title(), lostSoFar(rows)))
			r, err := p.round(ctx, row.Target, row.Mode)
			if ctx.Err() != nil {
				return Result{}, context.Cause(ctx)
			}
			if err != nil {
				return Result{}, fmt.Errorf("%s, round %d: %w", row.title(), n+1, err)
			}
			row.add(r)
			if r.killed {
				return Result{Plan: p, Rows: rows}, nil
			}
			if n == 0 && i == 0 && len(p.Modes) == 0 {
				rows = append(rows[:1], p.rows(p.otherModes(r))...)
			}
		}
	}
	return Result{Plan: p, Rows: rows}, nil
}

// lostSoFar lists the losses of each row.
func lostSoFar(rows []*Row) string {
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = fmt.Sprintf("%d (%s)", r.Losses(), r.title())
	}
	return strings.Join(texts, ", ")
}

func (p Plan) rows(modes []load.Mode) (rows []*Row) {
	for i := range p.Targets {
		for _, mode := range modes {
			rows = append(rows, &Row{Target: &p.Targets[i], Mode: mode, several: len(p.Targets) > 1})
		}
	}
	return rows
}

// firstModes returns the modes to begin with. Whether the program speaks HTTP/2 is known
// when it has been started.
func (p Plan) firstModes() []load.Mode {
	if len(p.Modes) > 0 {
		return p.Modes
	}
	return []load.Mode{load.NewConn}
}

func (p Plan) otherModes(first round) []load.Mode {
	modes := []load.Mode{load.KeepAlive}
	if first.http2 {
		modes = append(modes, load.HTTP2)
	}
	return modes
}
