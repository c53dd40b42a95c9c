package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// NewPlan draws the plan of a seed. It depends on nothing but the seed.
func NewPlan(seed uint64) Plan {
	d := draw{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), &Plan{Seed: seed}} //nolint:gosec // it has to be repeatable
	d.base()
	n := 1 + d.IntN(4)
	for _, i := range d.Perm(len(faultKinds))[:n] {
		faultKinds[i].apply(&d)
	}
	d.finish()
	return *d.plan
}

// draw is a plan while it is being drawn.
type draw struct {
	*rand.Rand
	plan *Plan
}

// ms draws a duration from low to high, both included.
func (d *draw) ms(low, high int) Milliseconds { return Milliseconds(low + d.IntN(high-low+1)) }

func (d *draw) pick(from ...string) string { return from[d.IntN(len(from))] }

// base draws a service without faults, which gets one signal.
func (d *draw) base() {
	p := d.plan
	p.Timeout, p.LameDuck = d.ms(1000, 2000), -1
	if d.IntN(2) == 0 {
		p.LameDuck = d.ms(20, 250)
	}
	if d.IntN(3) == 0 {
		p.Reserve = d.ms(200, 400)
	}
	p.Table = d.pick(tableDefault, tableImmediate, tableGraceful)
	first := map[string]string{tableDefault: d.pick("TERM", "INT"), tableImmediate: "HUP", tableGraceful: d.pick("TERM", "HUP", "INT")}[p.Table]
	p.First = Signal{Moment{whileRunning, d.ms(0, 150)}, []string{first}, 1, 0}
	p.StartUp = d.ms(0, 20)
	p.Record = d.IntN(2) == 0
	p.Load = Load{d.pick("new connections", "keep-alive", "HTTP/2"), 4 + d.IntN(5), d.ms(5, 25)}
	for _, phase := range []string{inLeave, inDrain, inClose} {
		for range d.IntN(3) {
			d.hook(phase, hookSucceeds)
		}
	}
	for range d.IntN(4) {
		d.work(d.pick(request, request, task, worker), d.pick(workEnds, workStops))
	}
	p.Run = d.IntN(3) == 0
}

func (d *draw) anyPhase() string { return d.pick(inLeave, inDrain, inClose) }

func (d *draw) hook(phase, does string) *Hook {
	p := d.plan
	p.Hooks = append(p.Hooks, Hook{Name: fmt.Sprintf("hook %d: %s", len(p.Hooks), does), Phase: phase, Does: does, Takes: d.ms(0, 60)})
	return &p.Hooks[len(p.Hooks)-1]
}

func (d *draw) work(kind, does string) *Work {
	p := d.plan
	p.Work = append(p.Work, Work{Kind: kind, Does: does, Takes: d.ms(10, 300)})
	return &p.Work[len(p.Work)-1]
}

func (d *draw) returns() string {
	return d.pick(returnsNil, returnsErr, returnsCause, returnsWrapped, returnsJoined, returnsFlush)
}

func (d *draw) client(kind string, most int) {
	if d.plan.Clients == nil {
		d.plan.Clients = make(map[string]int)
	}
	d.plan.Clients[kind] = 1 + d.IntN(most)
}

func (d *draw) later(s Signal) { d.plan.Later = append(d.plan.Later, s) }

// finish sorts the names of the faults and shuffles the hooks.
func (d *draw) finish() {
	p := d.plan
	d.Shuffle(len(p.Hooks), func(i, j int) { p.Hooks[i], p.Hooks[j] = p.Hooks[j], p.Hooks[i] })
	slices.Sort(p.Faults)
	p.Faults = slices.Compact(p.Faults)
}
