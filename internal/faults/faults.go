package faults

import "fmt"

// A faultKind is one kind of fault; apply adds it to a plan.
type faultKind struct {
	name  string
	apply func(d *draw)
}

// faultKinds are the faults that a plan chooses from. A new one changes the plans of
// all seeds.
var faultKinds = []faultKind{
	kind("signal: in start-up", func(d *draw) {
		d.plan.StartUp = d.ms(20, 150)
		d.plan.First.Moment = Moment{inStartUp, d.ms(0, 120)}
	}),
	kind("signal: second in drain", func(d *draw) {
		d.later(Signal{Moment{d.pick(inLeave, inDrain), d.ms(0, 100)}, []string{d.secondSignal()}, 1, 0})
	}),
	kind("signal: second in close", func(d *draw) {
		d.hook(inClose, hookSucceeds).Takes = d.ms(50, 200)
		d.later(Signal{Moment{inClose, d.ms(0, 100)}, []string{d.secondSignal()}, 1, 0})
	}),
	kind("signal: SIGINT forces", func(d *draw) {
		d.plan.Table, d.plan.First.Names, d.plan.Later = tableDefault, []string{"INT"}, nil
		d.work(d.pick(request, task, worker), d.pick(workGivesUp, workHangs))
		d.later(Signal{Moment{inLeave, d.ms(550, 800)}, []string{"INT"}, 1, 0})
	}),
	kind("signal: at once", func(d *draw) {
		d.plan.Table, d.plan.First.Names, d.plan.Later = tableImmediate, []string{"TERM"}, nil
	}),
	kind("signal: storm", func(d *draw) {
		p := d.plan
		names := map[string][]string{
			tableDefault: {"TERM"}, tableImmediate: {"HUP", "TERM"}, tableGraceful: {"TERM", "HUP", "INT"},
		}[p.Table]
		if p.Table == tableDefault && d.IntN(2) == 0 {
			names = []string{"TERM", "INT"}
		}
		storm := Signal{Moment{d.pick(inLeave, inDrain, inClose), d.ms(0, 60)}, names, 1000, d.ms(20, 300)}
		if d.IntN(3) == 0 { // the storm is what starts the shutdown
			storm.Moment = p.First.Moment
			p.First = storm
			return
		}
		d.later(storm)
	}),
	kind("stop and continue", func(d *draw) {
		d.plan.Stop = &Pause{Moment{d.pick(whileRunning, inLeave, inDrain, inClose), d.ms(0, 50)}, d.ms(50, 600)}
		if d.IntN(4) == 0 {
			d.plan.Stop.For = d.plan.Timeout + d.ms(100, 600)
		}
		// net/http closes an HTTP/2 connection, without the library too, if it has not read
		// the client's SETTINGS within 2 s of accepting it (firstSettingsTimeout).
		if d.plan.Load.Mode == "HTTP/2" && d.plan.Stop.For > 1900 {
			d.plan.Load.Mode = "keep-alive"
		}
	}),

	kind("hook: returns an error", func(d *draw) { d.hook(d.anyPhase(), hookFails) }),
	kind("hook: panics", func(d *draw) { d.hook(d.anyPhase(), hookPanics) }),
	kind("hook: calls runtime.Goexit", func(d *draw) { d.hook(d.anyPhase(), hookGoexits) }),
	kind("hook: hangs", func(d *draw) { d.hook(d.anyPhase(), hookHangs) }),
	kind("hook: ignores its context", func(d *draw) { d.hook(d.anyPhase(), hookIgnores) }),
	kind("hook: registers hooks", func(d *draw) {
		h := d.hook(d.anyPhase(), hookRegisters)
		for i := range 1 + d.IntN(3) {
			h.Registers = append(h.Registers, Hook{
				Name: h.Name + "/" + string(rune('a'+i)), Phase: d.anyPhase(),
				Does: d.pick(hookSucceeds, hookFails, hookPanics), Takes: d.ms(0, 20),
			})
		}
	}),
	kind("hook: calls every method", func(d *draw) { d.hook(d.anyPhase(), hookCalls) }),
	kind("hook: calls Wait", func(d *draw) { d.hook(d.anyPhase(), hookWaits) }),
	kind("hook: calls Force", func(d *draw) { d.hook(d.anyPhase(), hookForces) }),
	kind("hook: calls Job", func(d *draw) { d.hook(d.anyPhase(), hookJobs) }),
	kind("hook: lets work in too late", func(d *draw) { d.hook(inDrain, hookAdmits) }),
	kind("hook: best effort", func(d *draw) {
		for range 1 + d.IntN(2) {
			h := d.hook(d.anyPhase(), d.pick(hookSucceeds, hookFails, hookFails, hookHangs, hookIgnores, hookPanics, hookGoexits))
			h.Limit, h.Name = d.ms(40, 150), h.Name+", best effort"
		}
	}),
	kind("hook: registered when a phase is reached", func(d *draw) {
		for i := range 1 + d.IntN(3) {
			r := Reached{d.pick(inLeave, inDrain, inClose, atDone), Hook{
				Name: fmt.Sprintf("hook of phase %d", i), Phase: d.anyPhase(),
				Does: d.pick(hookSucceeds, hookFails, hookPanics), Takes: d.ms(0, 20),
			}}
			if d.IntN(3) == 0 {
				r.Hook.Limit = d.ms(40, 100)
			}
			d.plan.Reached = append(d.plan.Reached, r)
		}
	}),

	kind("start: fails", func(d *draw) { d.plan.Start = startFails }),
	kind("start: panics", func(d *draw) { d.plan.Run, d.plan.Start = true, d.pick(startPanics, startGoexits) }),
	kind("start: does not return", func(d *draw) { d.plan.Run, d.plan.Start = true, d.pick(startCanceled, startCanceled, startHangs) }),

	kind("job: the last one returns", func(d *draw) {
		for range 1 + d.IntN(2) {
			d.work(job, workEnds).Takes = d.ms(50, 400)
		}
	}),
	kind("job: fails", func(d *draw) { d.work(job, workBreaks).Takes = d.ms(50, 400) }),
	kind("job: is told to stop", func(d *draw) { d.work(job, workStops).Returns = d.returns() }),
	kind("job: cut off", func(d *draw) { d.work(job, d.pick(workGivesUp, workLate, workHangs)).Returns = d.returns() }),
	kind("worker: is told to stop", func(d *draw) { d.work(worker, workStops).Returns = d.returns() }),
	kind("worker: cut off", func(d *draw) { d.work(worker, workGivesUp).Returns = d.returns() }),
	kind("worker: fails by itself", func(d *draw) { d.work(worker, workBreaks).Takes = d.ms(50, 400) }),

	kind("work: cut off by the deadline", func(d *draw) {
		d.work(d.pick(request, task, worker), d.pick(workGivesUp, workLate))
	}),
	kind("work: hangs", func(d *draw) { d.work(d.pick(request, task, worker), workHangs) }),
	kind("work: a worker fails", func(d *draw) { d.work(worker, workFails) }),

	kind("client: slow header", func(d *draw) { d.client(slowHeader, 4) }),
	kind("client: stalled reader", func(d *draw) { d.client(stalledReader, 2) }),
	kind("client: half-closed socket", func(d *draw) { d.client(halfClosed, 4) }),
	kind("client: TLS handshake in progress", func(d *draw) { d.client(tlsHandshake, 4) }),
	kind("client: chunked upload that stops", func(d *draw) { d.client(stoppedUpload, 3) }),
	kind("client: HTTP/2 streams at the limit", func(d *draw) { d.client(streamLimit, 2) }),
	kind("client: HTTP/2 rapid reset", func(d *draw) { d.client(rapidReset, 2) }),
	kind("client: hijacked connection", func(d *draw) { d.client(d.pick(hijackedClosed, hijackedHeld), 3) }),
	kind("client: handler that calls its own server", func(d *draw) { d.client(callsItself, 3) }),

	kind("descriptors exhausted", func(d *draw) { d.plan.Descriptors = 1 + d.IntN(d.plan.Load.Clients) }),
	kind("memory limit", func(d *draw) { d.plan.MemoryMiB = 16 + d.IntN(17) }),
	kind("GOMAXPROCS=1", func(d *draw) { d.plan.OneProc = true }),
	kind("logger blocks", func(d *draw) { d.plan.Logger, d.plan.LoggerLines = loggerBlocks, d.IntN(4) }),
	kind("logger panics", func(d *draw) { d.plan.Logger, d.plan.LoggerLines = loggerPanics, d.IntN(4) }),
	kind("disk full", func(d *draw) { d.disk(diskFull) }),
	kind("disk read-only", func(d *draw) { d.disk(diskReadOnly) }),
	kind("disk hangs", func(d *draw) { d.disk(d.pick(diskHangsLock, diskHangs)) }),
}

// kind returns a faultKind that adds its name to the plan.
func kind(name string, apply func(d *draw)) faultKind {
	return faultKind{name, func(d *draw) {
		d.plan.Faults = append(d.plan.Faults, name)
		apply(d)
	}}
}

func (d *draw) disk(fault string) {
	d.plan.Record, d.plan.Disk, d.plan.DiskBreaks = true, fault, d.pick(inStartUp, inDrain)
}

// secondSignal draws a signal that has no effect on a graceful shutdown within half
// a second of the first, and may force it later.
func (d *draw) secondSignal() string {
	switch d.plan.Table {
	case tableImmediate:
		return d.pick("TERM", "HUP")
	case tableGraceful:
		return d.pick("TERM", "HUP", "INT")
	}
	return d.pick("TERM", "INT")
}
