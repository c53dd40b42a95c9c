// Peers compares this library with other ways to shut a service down: net/http and grpc-go
// alone, and frameworks and libraries that manage the life of a service.
//
//	GOWORK=off go run -C bench/peers .
//	GOWORK=off go run -C bench/peers . -peers 'fx|hertz' -rounds 2
//
// Each peer serves as its own documentation of graceful shutdown says, in a child process.
// This program observes it from outside: what clients get, which hooks run, when it exits
// and with which code, and what it writes. It prints tables in Markdown; -write puts them
// into docs/peers.md and README.md.
//
// It is a module of its own that is not in go.work, because the peers would raise the
// versions of everything else there. Unlike the library it needs the newest Go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/gracefulgo/shutdown/bench/internal/child"
	"github.com/gracefulgo/shutdown/internal/progress"
)

func main() {
	child.Main("peers", roles(), parse, func(ctx context.Context, p plan) error {
		results, err := p.measure(ctx, progress.New(os.Stderr))
		if err != nil {
			return err
		}
		tables := results.tables()
		printTables(os.Stdout, tables)
		if !p.write {
			return nil
		}
		return writeTables(filepath.Join("..", ".."), tables)
	})
}

// A plan says what to measure.
type plan struct {
	peers   []*peer // the library is always among them
	rounds  int     // of each peer in each mode
	clients int
	write   bool
}

func parse(args []string, usage io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&p.rounds, "rounds", 20, "shutdowns under load, of each peer in each mode")
	flags.IntVar(&p.clients, "clients", 32, "clients, each with one request at a time")
	flags.BoolVar(&p.write, "write", false, "also write the tables into docs/peers.md and README.md")
	only := flags.String("peers", "", "measure the library and only the peers whose name matches this regular expression")
	if err := flags.Parse(args); err != nil {
		return plan{}, err
	}
	if flags.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if p.rounds < 1 || p.clients < 1 {
		return plan{}, fmt.Errorf("-rounds is %d and -clients %d, and both must be at least 1", p.rounds, p.clients)
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		return plan{}, fmt.Errorf("-peers: %w", err)
	}
	matched := false
	for i := range peers {
		match := re.MatchString(peers[i].name)
		matched = matched || match
		if match || peers[i].base() == library {
			p.peers = append(p.peers, &peers[i])
		}
	}
	if !matched {
		return plan{}, fmt.Errorf("-peers %q matches no peer", *only)
	}
	if p.write && len(p.peers) < len(peers) {
		return plan{}, fmt.Errorf("-write needs all peers, and -peers is %q", *only)
	}
	return p, nil
}

// A bench has what is needed to start peers.
type bench struct {
	plan
	gozero  string // the program
	dir     string // for the output of peers
	outputs atomic.Int64
}

// results are all that was measured.
type results struct {
	plan
	versions map[string]string // by module
	lines    map[string]int    // by peer
	loads    []*loads
	outcomes map[string]map[string]outcome // by peer and scenario
}

// together is how many scenarios are played at the same time. The processes mostly wait.
const together = 6

// measure takes the peers in turn, so that other work of the machine affects all alike.
func (p plan) measure(ctx context.Context, line *progress.Line) (*results, error) {
	defer line.End()
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is temporary
	b := &bench{plan: p, dir: dir, gozero: filepath.Join(dir, "gozero")}
	if slices.ContainsFunc(p.peers, func(p *peer) bool { return p.serve == nil }) {
		line.Show("building go-zero's program")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.gozero, "./gozero").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building ./gozero: %w\n%s", err, out)
		}
	}
	r := &results{plan: p, outcomes: make(map[string]map[string]outcome)}
	if r.versions, err = b.versions(); err != nil {
		return nil, err
	}
	if r.lines, err = countLines(); err != nil {
		return nil, err
	}
	if err := b.playAll(ctx, r, line); err != nil {
		return nil, err
	}
	for _, peer := range p.peers {
		for m := range modes {
			if peer.offers(&modes[m]) {
				r.loads = append(r.loads, &loads{peer: peer, mode: &modes[m], codes: make(map[string]int)})
			}
		}
	}
	for n := range p.rounds {
		for _, l := range r.loads {
			line.Show(fmt.Sprintf("round %d of %d: %s, %s", n+1, p.rounds, l.peer.base(), l.mode.name))
			err := b.round(ctx, l)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s, %s, round %d: %w", l.peer.base(), l.mode.name, n+1, err)
			}
		}
	}
	return r, nil
}

// playAll plays each scenario with each peer.
func (b *bench) playAll(ctx context.Context, r *results, line *progress.Line) error {
	played := make([][]outcome, len(b.peers))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(together)
	for n, peer := range b.peers {
		played[n] = make([]outcome, len(scenarios))
		for m, s := range scenarios {
			group.Go(func() error {
				line.Show(fmt.Sprintf("%s: %s", peer.name, s.name))
				var err error
				if played[n][m], err = b.play(groupCtx, peer, s); err != nil {
					return fmt.Errorf("%s, %s: %w", peer.name, s.name, err)
				}
				return nil
			})
		}
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	for n, peer := range b.peers {
		r.outcomes[peer.name] = make(map[string]outcome)
		for m, s := range scenarios {
			r.outcomes[peer.name][s.name] = played[n][m]
		}
	}
	return nil
}
