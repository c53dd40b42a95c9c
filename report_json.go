package shutdown

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/probe"
)

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
	Unfinished  []jsonTask `json:"unfinished,omitempty"`
	CutOff      []jsonTask `json:"cut_off,omitempty"`
	CutOffAt    time.Time  `json:"cut_off_at,omitzero"`
}

type jsonStep struct {
	Phase      string  `json:"phase,omitempty"` // but for workers and jobs
	Kind       string  `json:"kind,omitempty"`  // of workers and jobs
	Name       string  `json:"name,omitempty"`
	At         seconds `json:"at_seconds"`
	Took       seconds `json:"took_seconds"`
	Err        string  `json:"error,omitempty"`
	Running    bool    `json:"running,omitempty"`
	LeftBehind bool    `json:"left_behind,omitempty"`
	BestEffort bool    `json:"best_effort,omitempty"`
}

type jsonTask struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
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
		Phase: r.Phase.String(), Result: r.result(), Cause: errorText(r.Cause), Forced: errorText(r.Forced),
		Begun: r.Begun, Took: seconds(r.Took), GracePeriod: seconds(r.GracePeriod), GraceSource: r.GraceSource,
		Timeout: seconds(r.Timeout), LameDuck: seconds(r.LameDuck), Reserve: seconds(r.Reserve),
		Steps: toJSON(r.Steps), Pending: toJSON(r.Pending),
		Unfinished: tasksToJSON(r.Unfinished), CutOff: tasksToJSON(r.CutOff), CutOffAt: r.CutOffAt,
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
	r.Unfinished, r.CutOff, r.CutOffAt = tasksFromJSON(j.Unfinished), tasksFromJSON(j.CutOff), j.CutOffAt
	return nil
}

func tasksToJSON(tasks []Task) (list []jsonTask) {
	for _, t := range tasks {
		list = append(list, jsonTask(t))
	}
	return list
}

func tasksFromJSON(list []jsonTask) (tasks []Task) {
	for _, t := range list {
		tasks = append(tasks, Task(t))
	}
	return tasks
}

func toJSON(steps []Step) (list []jsonStep) {
	for _, s := range steps {
		phase, kind := s.Phase.String(), ""
		if s.Phase == Running { // which it does not do: it has failed
			phase, kind = "", cmp.Or(s.Kind, "worker")
		}
		list = append(list, jsonStep{phase, kind, s.Name, seconds(s.At), seconds(s.Took), errorText(s.Err), s.Running, s.LeftBehind, s.BestEffort})
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
			phase, j.Name, time.Duration(j.At), time.Duration(j.Took), textError(j.Err),
			j.Running, j.LeftBehind, j.BestEffort, strings.TrimPrefix(j.Kind, "worker"),
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
	if from, ok := strings.CutPrefix(text, probe.PreStopPrefix); ok {
		return probe.PreStop(from)
	}
	return textError(text)
}
