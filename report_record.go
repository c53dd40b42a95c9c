package shutdown

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/grace"
	"github.com/gracefulgo/shutdown/internal/postmortem"
)

const (
	// How many of the tasks in flight are named: the oldest.
	recordTasks = 256
	// How many of the hooks that run or have run are named, the last ones, and of the
	// pending ones, the next.
	recordSteps = 1024
	// How many bytes all names and errors have together. Even if all of them are escaped
	// in JSON, the next start can read that.
	recordText = 512 << 10
)

// keep starts to keep the record and the termination message.
func (m *Manager) keep(path string) {
	m.message = postmortem.NewTermination(m.env.postmortem, func() (string, bool) {
		r := m.Report()
		return r.summary(), r.Phase == Done
	}, "shutdown: ", m.log.Warn)
	if path == "" {
		return
	}
	m.record = postmortem.NewRecord(postmortem.Config[Report]{
		Path: path, Started: m.started, Warn: m.log.Warn, Killed: m.lastRunKilled,
		State: func() postmortem.State[Report] {
			r := m.Report()
			return postmortem.State[Report]{
				Report: forRecord(r), InFlight: len(r.Unfinished), CutOff: len(r.CutOff),
				Running: r.Phase == Running, Ended: r.Phase == Done,
			}
		},
		Ended: func(last Report) bool { return last.Phase == Done },
	}, m.env.postmortem)
}

// touch says that the Report has changed. It may be called with any lock held.
func (m *Manager) touch() {
	m.message.Touch()
	if m.record != nil {
		m.record.Touch()
	}
}

// flushKeepers waits until the end of the shutdown has been saved, or until by.
func (m *Manager) flushKeepers(by time.Time) {
	keepers := []*postmortem.Keeper{&m.message.Keeper}
	if m.record != nil {
		keepers = append(keepers, &m.record.Keeper)
	}
	for _, k := range keepers {
		if !k.Flush(by) {
			m.log.Error("shutdown: post-mortem: the end could not be written in time", "path", k.Path)
		}
	}
}

// LastRun returns the Report of the last run from its record (Config.Record). If that run
// was killed, killed is true, and the Report is as of the last step, or the last full
// second; with phase Running the shutdown had not begun. If it ended, the Report is the
// final one, with phase Done. Errors are text, at most the 256 oldest tasks are named, and
// long texts are cut.
//
// The Report is the zero value if there is no record or it cannot be read, and while
// another process that uses it is alive. LastRun waits for the disk until 250 ms after New,
// a little longer on a machine without free CPU. Later calls return at once what is known
// then.
func (m *Manager) LastRun() (last Report, killed bool) {
	if m.record == nil {
		return Report{}, false
	}
	return m.record.Last()
}

// forRecord is as much of r as a record has room for: an error may be the response of a
// server, of many megabytes.
func forRecord(r Report) Report {
	r.Steps = slices.Clone(r.Steps[max(0, len(r.Steps)-recordSteps):])
	r.Pending = slices.Clone(r.Pending[:min(len(r.Pending), recordSteps)])
	r.Unfinished = slices.Clone(r.Unfinished[:min(len(r.Unfinished), recordTasks)])
	r.CutOff = slices.Clone(r.CutOff[:min(len(r.CutOff), recordTasks)])
	limit := recordText / (3 + 2*len(r.Steps) + len(r.Pending) + len(r.Unfinished) + len(r.CutOff))
	text := func(err error) error {
		if s := clip.ErrorText(err); len(s) > limit {
			return textCause(clip.Bytes(s, limit)) // a request stays one
		}
		return err
	}
	r.Cause, r.Forced = text(r.Cause), text(r.Forced)
	for i := range r.Steps {
		r.Steps[i].Name, r.Steps[i].Err = clip.Bytes(r.Steps[i].Name, limit), text(r.Steps[i].Err)
	}
	for i := range r.Pending {
		r.Pending[i].Name = clip.Bytes(r.Pending[i].Name, limit)
	}
	for _, tasks := range [][]Task{r.Unfinished, r.CutOff} {
		for i := range tasks {
			tasks[i].Name = clip.Bytes(tasks[i].Name, limit)
		}
	}
	return r
}

// lastRunKilled logs how the last run ended.
func (m *Manager) lastRunKilled(old postmortem.File[Report], sameBoot bool) {
	last := old.Report
	how := clip.To(last.inShort(), maxLastText) + last.killedEarly()
	if last.Phase == Running {
		how = "while running: out of memory, eviction, docker kill, a panic or os.Exit"
	}
	if !sameBoot {
		how += "; the machine has been restarted since, or it was another one"
	}
	m.log.Warn("shutdown: the last run was killed "+how,
		"started", old.Started, "written", old.Written, "host", clip.Line(old.Run.Host, maxReason), "pid", old.Run.PID,
		"in_flight", old.InFlight, "cut_off_count", old.CutOff, "report", last)
}

// summary is the Report for the termination message: a line, and the timeline.
func (r Report) summary() string {
	var s strings.Builder
	if r.Phase != Running && r.Phase != Done {
		s.WriteString("shutdown: " + r.inShort() + "\n" + r.ifKilledHere())
	}
	if r.Phase == Done && r.timedOut() && grace.MayBeWrong(r.GraceSource) {
		s.WriteString("shutdown: " + adviceOnGuess + "\n")
	}
	s.WriteString(r.String())
	return clip.Bytes(s.String(), postmortem.MaxTermination)
}

// What a kill says about the grace period: it came within a second after the last write.
// The advice is rather too short than too long, because with a grace period that is too
// long the kill comes before the end.

// killedEarly is what the next start says, from the record. Where the grace period is not
// a guess, a kill by hand or an OOM kill is as likely as a wrong grace period.
func (r Report) killedEarly() string {
	early := r.GracePeriod - r.Took
	if r.Phase == Running || r.Forced != nil || r.Took < 2*time.Second || early < 2*time.Second {
		return "" // no platform grants less; who forces the end may kill as well
	}
	or := fmt.Sprintf(", or %s if a preStop hook took the rest", grace.EnvPreStop)
	if strings.Contains(r.GraceSource, grace.EnvPreStop) {
		or = ", which counts from SIGTERM, and unset " + grace.EnvPreStop
	}
	unless := ""
	if !grace.Guessed(r.GraceSource) {
		unless = "unless it was killed by hand or for memory, "
	}
	return fmt.Sprintf("; killed %v before the expected time: %sthe real grace period is about %v; set %s=%d%s",
		early.Round(time.Second), unless, r.Took.Truncate(time.Second), grace.EnvGracePeriod, int(r.Took.Seconds()), or)
}

// ifKilledHere is what the termination message says while the shutdown runs.
func (r Report) ifKilledHere() string {
	s := fmt.Sprintf("%v after %s, kill expected at %v", r.Took.Truncate(time.Second), r.startedBy(), clip.Round(r.GracePeriod))
	if grace.Guessed(r.GraceSource) {
		s += " (guessed)"
	}
	if r.Forced == nil && r.Took < r.GracePeriod-time.Second {
		s += fmt.Sprintf(": if it was killed here, set %s=%d", grace.EnvGracePeriod, max(1, int(r.Took.Seconds())))
	}
	return s + "\n"
}
