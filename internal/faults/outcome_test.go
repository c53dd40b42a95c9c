package faults

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/load"
)

// at returns a time in an outcome, in milliseconds after its start.
func at(ms int) time.Time {
	return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// good is the outcome of a run without violations: SIGTERM is sent after 100 ms, and
// the shutdown takes 200 ms.
func good() Outcome {
	step := func(p shutdown.Phase, name string, at, took int) shutdown.Step {
		return shutdown.Step{Phase: p, Name: name, At: time.Duration(at) * time.Millisecond, Took: time.Duration(took) * time.Millisecond}
	}
	report := shutdown.Report{
		Phase: shutdown.Done, Begun: at(100), Took: 200 * time.Millisecond, Cause: errors.New("signal SIGTERM"),
		Steps: []shutdown.Step{
			step(shutdown.Leave, "", 0, 50), step(shutdown.Leave, "a", 0, 20),
			step(shutdown.Drain, "", 50, 100), step(shutdown.Drain, "http 127.0.0.1:1", 50, 90),
			step(shutdown.Close, "", 150, 50), step(shutdown.Close, "b", 150, 40),
		},
	}
	return Outcome{
		Plan: Plan{Seed: 1, Timeout: 1000, Table: tableDefault, Record: true, Load: Load{Mode: "new connections", Clients: 4, Takes: 10}},
		Journal: []Event{
			{At: at(0), Kind: started},
			{At: at(1), Kind: hookRegistered, Name: "a"}, {At: at(1), Kind: hookRegistered, Name: "b"},
			{At: at(2), Kind: hookRegistered, Name: "c"}, {At: at(2), Kind: hookRemoved, Name: "c"},
			{At: at(5), Kind: listening, Name: "127.0.0.1:1"},
			{At: at(10), Kind: workStarted, Name: "POST /work/0"},
			{At: at(6), Kind: startEnded},
			{At: at(101), Kind: acceptCanceled, Error: "signal SIGTERM"}, {At: at(101), Kind: phaseReached, Name: inLeave},
			{At: at(150), Kind: phaseReached, Name: inDrain}, {At: at(250), Kind: phaseReached, Name: inClose},
			{At: at(300), Kind: phaseReached, Name: atDone}, {At: at(300), Kind: workCanceled, Error: "shutdown: the shutdown has ended"},
			{At: at(101), Kind: hookStarted, Name: "a"}, {At: at(120), Kind: hookEnded, Name: "a"},
			{At: at(180), Kind: workEnded, Name: "POST /work/0"},
			{At: at(251), Kind: hookStarted, Name: "b"}, {At: at(290), Kind: hookEnded, Name: "b"},
			{At: at(301), Kind: waited, End: &End{Report: report, Result: "finished"}},
			{At: at(310), Kind: lastEvent},
		},
		Exited: at(312), Sent: []Sent{{at(100), "TERM"}},
		Log:      []LogLine{{Level: "INFO", Msg: "shutdown: started"}, {Level: "INFO", Msg: "shutdown: finished"}},
		Record:   Record{There: true, Phase: "done", Result: "finished"},
		Load:     load.Result{Requests: 100},
		Requests: []Request{{Name: "POST /work/0", Sent: true, Answered: true}},
	}
}

// end returns the state of the child when Wait had returned, to be changed.
func end(o *Outcome) *End { e, _ := o.end(); return e }

// move changes the time of an event.
func move(o *Outcome, kind, name string, to time.Time) {
	for i, e := range o.Journal {
		if e.Kind == kind && e.Name == name {
			o.Journal[i].At = to
		}
	}
}

// remove removes an event.
func remove(o *Outcome, kind, name string) {
	for i, e := range o.Journal {
		if e.Kind == kind && e.Name == name {
			o.Journal = append(o.Journal[:i:i], o.Journal[i+1:]...)
			return
		}
	}
}

// failed makes the shutdown end with an error, and makes the outcome agree with that.
func failed(o *Outcome, result string, steps ...shutdown.Step) {
	e := end(o)
	e.ExitCode, e.Error, e.Result, o.ExitCode = 1, "an error", result, 1
	e.Report.Steps = append(e.Report.Steps, steps...)
	o.Log[1].Level, o.Log[1].Msg = "ERROR", "shutdown: "+result
	o.Record.Result = result
}

// forcedInClose makes a second SIGINT force the end in Close.
func forcedInClose(o *Outcome) {
	o.Sent = []Sent{{at(100), "INT"}, {at(700), "INT"}}
	began(o, "signal SIGINT")
	failed(o, "forced")
	end(o).ExitCode, o.ExitCode = 130, 130
	end(o).Report.Forced = errors.New("shutdown: forced: signal SIGINT")
}

// began changes the cause of the shutdown.
func began(o *Outcome, cause string) {
	change(o, acceptCanceled, "", func(e *Event) { e.Error = cause })
	end(o).Report.Cause = errors.New(cause)
	if !strings.HasPrefix(cause, "signal ") {
		failed(o, "finished with errors")
		end(o).Error = cause
		o.Log[0].Level = "ERROR"
	}
}

// change changes an event.
func change(o *Outcome, kind, name string, how func(e *Event)) {
	for i, e := range o.Journal {
		if e.Kind == kind && e.Name == name {
			how(&o.Journal[i])
		}
	}
}

// note adds an event.
func note(o *Outcome, ms int, e Event) {
	e.At = at(ms)
	o.Journal = append(o.Journal, e)
}

// cutUnnamed makes a piece of work end after WorkContext, and does not name it in
// CutOff.
func cutUnnamed(o *Outcome, name string, to time.Time) {
	remove(o, workEnded, name)
	o.Journal = append(o.Journal, Event{At: to, Kind: workEnded, Name: name, Cut: true})
	change(o, workCanceled, "", func(e *Event) {
		e.At, e.Error = at(170), "shutdown: timed out: the drain is about to end"
	})
}

// timedOut makes the shutdown cut off the named work at the deadline, and makes the
// outcome agree with that.
func timedOut(o *Outcome, names ...string) {
	change(o, workCanceled, "", func(e *Event) {
		e.At, e.Error = at(170), "shutdown: timed out: the drain is about to end"
	})
	failed(o, "timed out")
	tasks := "1 task"
	if len(names) > 1 {
		tasks = fmt.Sprintf("%d tasks", len(names))
	}
	e := end(o)
	for _, name := range names {
		e.Report.CutOff = append(e.Report.CutOff, shutdown.Task{Name: name})
	}
	text := strings.Join(names, " (1s), ")
	e.Error, e.TimedOut, e.Deadline = "shutdown: timed out: "+tasks+" cut off: "+text, true, true
	o.Log[1].Report.CutOff = tasks + ": " + text
	o.Record.CutOff, o.Record.Named = len(names), len(names)
}

// cutTask adds a task that was cut off and ended after that, and makes the outcome
// agree.
func cutTask(o *Outcome) {
	note(o, 20, Event{Kind: workStarted, Name: "task 1"})
	note(o, 200, Event{Kind: workEnded, Name: "task 1", Cut: true})
	timedOut(o, "task 1")
}

// failedWorker is the end of a worker that failed.
func failedWorker() Event {
	return Event{At: at(170), Kind: workEnded, Name: "worker 1", Error: errWorker.Error()}
}

// stoppedWorker adds a worker that stopped and returned its context's error.
func stoppedWorker(o *Outcome) {
	note(o, 20, Event{Kind: workStarted, Name: "worker 1"})
	note(o, 120, Event{Kind: workEnded, Name: "worker 1", Canceled: true, Error: "context canceled"})
	o.Log = append(o.Log, LogLine{Level: "INFO", Msg: "shutdown: worker stopped", Worker: "worker 1", Error: "context canceled"})
}

// aJob adds a job that returned err.
func aJob(o *Outcome, ms int, err string) {
	note(o, 4, Event{Kind: jobRegistered, Name: "job 1"})
	note(o, 5, Event{Kind: workStarted, Name: "job 1"})
	note(o, ms, Event{Kind: workEnded, Name: "job 1", Error: err})
}

// stoppedJob adds a job that stopped and returned its context's error.
func stoppedJob(o *Outcome) {
	aJob(o, 120, "context canceled")
	change(o, workEnded, "job 1", func(e *Event) { e.Canceled = true })
	failed(o, "finished with errors", shutdown.Step{Name: "job 1", Kind: job, Err: errors.New("did not finish: context canceled")})
	end(o).Error = `shutdown: job "job 1": did not finish: context canceled`
}

// refusedJob adds a job that was registered after the shutdown had begun.
func refusedJob(o *Outcome) {
	note(o, 120, Event{Kind: jobRegistered, Name: "job 1"})
	failed(o, "finished with errors", shutdown.Step{Name: "job 1", Kind: job, Err: errors.New("not started: the shutdown had begun")})
	end(o).Error = `shutdown: job "job 1": not started: the shutdown had begun`
}

// lastJob makes the shutdown begin because the only job has returned.
func lastJob(o *Outcome) {
	aJob(o, 100, "")
	o.Sent = nil
	change(o, acceptCanceled, "", func(e *Event) { e.Error = lastJobCause })
	end(o).Report.Cause = errors.New(lastJobCause)
}

// failedJob makes a job that failed the cause of the shutdown.
func failedJob(o *Outcome) {
	aJob(o, 100, errWorker.Error())
	o.Sent = nil
	began(o, `shutdown: job "job 1": the worker has failed`)
	failed(o, "finished with errors", shutdown.Step{Name: "job 1", Kind: job, Err: errWorker})
	end(o).Error = `shutdown: job "job 1": the worker has failed`
}

// failedStart makes a start that panicked the cause of the shutdown.
func failedStart(o *Outcome) {
	o.Plan.Run, o.Sent = true, nil
	change(o, startEnded, "", func(e *Event) { e.Error = "panic: no" })
	move(o, startEnded, "", at(100))
	began(o, "shutdown: start: panic: no")
	end(o).RunEnded = "panic: no"
}

// hungStart makes the start hang.
func hungStart(o *Outcome) {
	o.Plan.Run = true
	remove(o, startEnded, "")
	note(o, 1, Event{Kind: workStarted, Name: startName})
	timedOut(o, startName)
	end(o).Report.Unfinished = []shutdown.Task{{Name: startName}}
	end(o).Error += "\nshutdown: start: did not return in time and was abandoned"
}

// failedBestEffort makes a hook with BestEffort fail.
func failedBestEffort(o *Outcome) {
	o.Plan.Hooks = []Hook{{Name: "b", Phase: inClose, Does: hookFails, Limit: 100}}
	change(o, hookEnded, "b", func(e *Event) { e.Error = errHookText })
	end(o).Report.Steps[5].Err, end(o).Report.Steps[5].BestEffort = errors.New(errHookText), true
	o.Log = append(o.Log, LogLine{Level: "WARN", Msg: "shutdown: failed, which does not count (best effort)", Error: `shutdown: close hook "b": the hook has failed`})
}

const errHookText = "the hook has failed"
