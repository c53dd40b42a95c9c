package shutdown

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/prestop"
	"github.com/gracefulgo/shutdown/internal/sequence"
)

// A Report says how a shutdown went, or how far it has come. String draws the timeline, and
// in a log it is a group of attributes. Both shorten names and errors, and replace what
// cannot be seen, such as control characters. In JSON durations are in seconds and errors are
// text; UnmarshalJSON reads what MarshalJSON wrote.
type Report struct {
	Phase       Phase
	Cause       error     // a SignalError, the error given to Begin, or that of a worker, a job or start; nil after Begin(nil)
	Forced      error     // nil unless the end was forced; matches ErrForced
	Begun       time.Time // zero while Running
	Took        time.Duration
	GracePeriod time.Duration
	GraceSource string // where GracePeriod was learnt; "guessed: ..." if nobody told us
	Timeout     time.Duration
	LameDuck    time.Duration
	Reserve     time.Duration
	Steps       []Step    // in the order in which they began
	Pending     []Step    // hooks that have not run yet, in the order in which they will; At is when they begin at the latest
	Unfinished  []Task    // in flight in Leave and Drain or, from Close on, when Drain ended; empty while Running, see Tasks
	CutOff      []Task    // in flight when WorkContext ended, by the deadline or by force, or admitted after that; whatever it did then
	CutOffAt    time.Time // when WorkContext ended, by the deadline or by force; zero if it did not
	Traffic     []Traffic // of servers, since the shutdown began
}

// A Step is the run of a hook or, without a Name, of a phase. A worker or a job that failed is
// a Step with phase Running.
type Step struct {
	Phase      Phase
	Name       string
	At         time.Duration // since Begun
	Took       time.Duration
	Ends       time.Duration // of a hook that runs or is pending: when it is abandoned at the latest, since Begun; zero after Force
	Err        error
	Running    bool
	Abandoned  bool   // it had not returned when its time was up
	BestEffort bool   // Err does not count; see BestEffort
	Kind       string // "job", or "start" for the function given to Run; else empty
}

// Report returns a copy of what is known now: live while the shutdown runs,
// final after Wait. It does not block.
func (m *Manager) Report() Report {
	r, _ := m.report()
	return r
}

// report is Report, and when its phase ends at the latest.
func (m *Manager) report() (r Report, phaseEnds time.Duration) {
	// The tasks come first: what is marked as cut off was so after CutOffAt.
	inFlight, cut := m.Tasks(), tasks(m.tracker.work.CutItems())
	s := m.sequence.Snapshot()
	r = Report{
		Phase: Phase(s.Phase), Cause: s.Cause, Begun: s.Begun, Took: s.Took,
		GracePeriod: m.budget.Grace, GraceSource: m.budget.Source,
		Timeout: s.Plan.Timeout, LameDuck: s.Plan.LameDuck, Reserve: s.Plan.Reserve,
		Steps: steps(s.Steps), Pending: steps(s.Pending), CutOffAt: s.CutAt,
		Traffic: m.traffic.list(),
	}
	if s.Forced != nil {
		r.Forced = s.Forced
	}
	switch r.Phase {
	case Leave, Drain:
		r.Unfinished, r.CutOff = inFlight, cut
	case Close, Done:
		m.mu.Lock()
		defer m.mu.Unlock()
		r.Unfinished, r.CutOff = slices.Clone(m.unfinished), slices.Clone(m.cutOff)
	}
	return r, s.Ends
}

func steps(list []sequence.Step) (steps []Step) {
	for _, s := range list {
		steps = append(steps, Step{
			Phase: Phase(s.Phase), Kind: s.Kind, Name: s.Name, At: s.At, Took: s.Took, Ends: s.Ends,
			Err: s.Err, Running: s.Running, Abandoned: s.Abandoned, BestEffort: s.BestEffort,
		})
	}
	return steps
}

// joinErrors is what Wait returns.
func (m *Manager) joinErrors() error {
	s := m.sequence.Snapshot()
	m.mu.Lock()
	defer m.mu.Unlock()
	errs := slices.Clone(m.errs)
	if s.Cause != nil && !isRequest(s.Cause) {
		errs = append([]error{s.Cause}, errs...)
	}
	if s.Forced != nil {
		errs = append(errs, s.Forced)
	}
	return errors.Join(errs...)
}

func isRequest(cause error) bool {
	switch cause.(type) { //nolint:errorlint // an error that wraps one is no request
	case SignalError, signalText, jobsDone, prestop.Cause:
		return true
	}
	return false
}

// isStop reports whether the platform has begun the shutdown, and kills after the grace
// period.
func isStop(cause error) bool {
	switch cause.(type) { //nolint:errorlint // as above
	case SignalError, prestop.Cause:
		return true
	}
	return false
}

type jsonReport struct {
	Phase       string     `json:"phase"`
	Result      string     `json:"result"`
	Cause       string     `json:"cause,omitempty"`
	Forced      string     `json:"forced,omitempty"`
	Begun       time.Time  `json:"begun,omitzero"`
	Took        seconds    `json:"took_seconds"`
	GracePeriod seconds    `json:"grace_period_seconds"`
	GraceSource string     `json:"grace_source"`
	Timeout     seconds    `json:"timeout_seconds"`
	LameDuck    seconds    `json:"lame_duck_seconds"`
	Reserve     seconds    `json:"reserve_seconds"`
	Steps       []jsonStep `json:"steps,omitempty"`
	Pending     []jsonStep `json:"pending,omitempty"`
	Unfinished  []Task     `json:"unfinished,omitempty"`
	CutOff      []Task     `json:"cut_off,omitempty"`
	CutOffAt    time.Time  `json:"cut_off_at,omitzero"`
	Traffic     []Traffic  `json:"traffic,omitempty"`
}

type jsonStep struct {
	Phase      string  `json:"phase,omitempty"` // but for workers and jobs
	Kind       string  `json:"kind,omitempty"`  // of workers and jobs
	Name       string  `json:"name,omitempty"`
	At         seconds `json:"at_seconds"`
	Took       seconds `json:"took_seconds"`
	Ends       seconds `json:"ends_seconds,omitzero"`
	Err        string  `json:"error,omitempty"`
	Running    bool    `json:"running,omitempty"`
	Abandoned  bool    `json:"abandoned,omitempty"`
	BestEffort bool    `json:"best_effort,omitempty"`
}

// seconds is a duration as Prometheus and most of JSON know it.
type seconds time.Duration

func (s seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(s).Seconds())
}

func (s *seconds) UnmarshalJSON(text []byte) error {
	var f float64
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	*s = seconds(math.Round(f * float64(time.Second)))
	return nil
}

// MarshalJSON writes the Report with durations in seconds and errors as text.
func (r Report) MarshalJSON() ([]byte, error) {
	j := jsonReport{
		Phase: r.Phase.String(), Result: r.Result(), Cause: clip.ErrorText(r.Cause), Forced: clip.ErrorText(r.Forced),
		Begun: r.Begun, Took: seconds(r.Took), GracePeriod: seconds(r.GracePeriod), GraceSource: r.GraceSource,
		Timeout: seconds(r.Timeout), LameDuck: seconds(r.LameDuck), Reserve: seconds(r.Reserve),
		Steps: toJSON(r.Steps), Pending: toJSON(r.Pending),
		Unfinished: r.Unfinished, CutOff: r.CutOff, CutOffAt: r.CutOffAt,
		Traffic: r.Traffic,
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote. Errors come back as their text:
// errors.Is and errors.As find nothing in them.
func (r *Report) UnmarshalJSON(text []byte) error {
	var j jsonReport
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	phase, err := parsePhase(j.Phase)
	if err != nil {
		return err
	}
	*r = Report{
		Phase: phase, Cause: textCause(j.Cause), Forced: textError(j.Forced),
		Begun: j.Begun, Took: time.Duration(j.Took), GracePeriod: time.Duration(j.GracePeriod), GraceSource: j.GraceSource,
		Timeout: time.Duration(j.Timeout), LameDuck: time.Duration(j.LameDuck), Reserve: time.Duration(j.Reserve),
	}
	if r.Steps, err = fromJSON(j.Steps); err != nil {
		return err
	}
	if r.Pending, err = fromJSON(j.Pending); err != nil {
		return err
	}
	r.Unfinished, r.CutOff, r.CutOffAt, r.Traffic = j.Unfinished, j.CutOff, j.CutOffAt, j.Traffic
	return nil
}

func toJSON(steps []Step) (list []jsonStep) {
	for _, s := range steps {
		phase, kind := s.Phase.String(), ""
		if s.Phase == Running { // which it does not do: it has failed
			phase, kind = "", cmp.Or(s.Kind, "worker")
		}
		list = append(list, jsonStep{phase, kind, s.Name, seconds(s.At), seconds(s.Took), seconds(s.Ends), clip.ErrorText(s.Err), s.Running, s.Abandoned, s.BestEffort})
	}
	return list
}

func fromJSON(list []jsonStep) (steps []Step, err error) {
	for _, j := range list {
		phase, err := parsePhase(cmp.Or(j.Phase, Running.String()))
		if err != nil {
			return nil, err
		}
		steps = append(steps, Step{
			phase, j.Name, time.Duration(j.At), time.Duration(j.Took), time.Duration(j.Ends), textError(j.Err),
			j.Running, j.Abandoned, j.BestEffort, strings.TrimPrefix(j.Kind, "worker"),
		})
	}
	return steps, nil
}

func parsePhase(text string) (Phase, error) {
	for p := Running; p <= Done; p++ {
		if p.String() == text {
			return p, nil
		}
	}
	return 0, fmt.Errorf("shutdown: report: unknown phase %q", text)
}

func textError(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// signalText is a SignalError that was read from JSON.
type signalText string

func (e signalText) Error() string { return string(e) }

func textCause(text string) error {
	if text == errJobsDone.Error() {
		return errJobsDone
	}
	if strings.HasPrefix(text, signalPrefix) {
		return signalText(text)
	}
	if from, ok := strings.CutPrefix(text, prestop.Prefix); ok {
		return prestop.Cause(from)
	}
	return textError(text)
}
