package sequence

import (
	"slices"
	"time"
)

// A Step is the run of a hook; without a Name, that of a phase; or what AddStep was given.
type Step struct {
	Phase      Phase
	Kind, Name string        // Kind is the caller's, for AddStep
	At, Took   time.Duration // At counts from the beginning
	Ends       time.Duration // of a hook that runs or is pending: when it is abandoned at the latest, from the beginning
	Err        error
	Running    bool
	Abandoned  bool // it had not returned when its time was up
	BestEffort bool // Err does not count
}

// A Snapshot is what a Sequence knows at one moment.
type Snapshot struct {
	Phase   Phase
	Begun   time.Time // zero while Running
	Took    time.Duration
	Cause   error
	Forced  *ForcedError
	CutAt   time.Time     // when WorkContext ended by the deadline or by force; zero if it did not
	Plan    Plan          // while Running, what it would be now
	Ends    time.Duration // when the present phase ends at the latest, from the beginning
	Steps   []Step        // in the order in which they began
	Pending []Step        // hooks that have not run, in the order in which they will
}

// Snapshot returns a copy of the state. It does not block.
func (s *Sequence) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := Snapshot{
		Phase: s.Phase(), Begun: s.begun, Took: s.took, Cause: s.cause, Forced: s.forced,
		CutAt: s.cutAt, Plan: s.plan, Steps: slices.Clone(s.steps),
	}
	if v.Phase == Running {
		v.Plan = s.config.Plan(s.servesLocked(), nil)
	}
	for _, p := range []Phase{Leave, Drain, Close} {
		for i := range s.hooks {
			if p == Close {
				i = len(s.hooks) - 1 - i
			}
			if h := s.hooks[i]; h.phase == p {
				v.Pending = append(v.Pending, Step{Phase: p, Name: h.name})
			}
		}
	}
	if v.Phase != Running && v.Phase != Done {
		v.Took = time.Since(s.begun)
		v.Ends = v.phaseEnd()
		if v.Phase == Close {
			v.Ends = s.forcedEndLocked(s.begun.Add(v.Plan.Timeout)).Sub(s.begun)
		}
		for i := range v.Steps {
			if step := &v.Steps[i]; step.Running {
				step.Took = v.Took - step.At
			}
		}
	}
	v.setEnds(s.active)
	return v
}

// phaseEnd is the end of Leave or Drain.
func (v *Snapshot) phaseEnd() time.Duration {
	hookRuns := slices.ContainsFunc(v.Steps, func(s Step) bool { return s.Running && s.Name != "" })
	switch {
	case v.Phase == Leave && !hookRuns:
		return v.Plan.LameDuck
	case v.Phase == Leave:
		return v.Plan.leaveEnd()
	}
	return v.Plan.DrainEnd
}

// setEnds sets when hooks that run or are pending have to be over, and when pending ones
// begin at the latest. A forced end leaves nothing to plan.
func (v *Snapshot) setEnds(active []*hook) {
	if v.Forced != nil || v.Phase == Done {
		return
	}
	behind := 0 // Close hooks that are pending
	for _, h := range v.Pending {
		if h.Phase == Close {
			behind++
		}
	}
	next := max(v.Plan.DrainEnd, v.Took) // when the next Close hook begins, at the latest
	for i := range v.Steps {
		step := &v.Steps[i]
		switch {
		case !step.Running || step.Name == "":
		case step.Phase == Close:
			for _, h := range active {
				if h.step == i { // hooks that were registered since do not shorten its time
					step.Ends = step.At + closeSlot(v.Plan.Timeout-step.At, h.behind)
					next = step.Ends
				}
			}
		default: // it may have been registered after its phase
			step.Ends = v.Ends
		}
	}
	for i := range v.Pending {
		h := &v.Pending[i]
		switch h.Phase {
		case Leave:
			h.At, h.Ends = v.Took, v.Plan.leaveEnd()
		case Drain:
			h.At, h.Ends = max(v.Plan.LameDuck, v.Took), v.Plan.DrainEnd
		case Close:
			behind--
			h.At, h.Ends = next, next+closeSlot(max(0, v.Plan.Timeout-next), behind)
			next = h.Ends
		}
	}
}
