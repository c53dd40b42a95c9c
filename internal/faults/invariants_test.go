package faults

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/load"
)

// at is when something happens in an outcome, in milliseconds after its start.
func at(ms int) time.Time {
	return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// good is the outcome of a run in which all is well: SIGTERM comes after 100 ms,
// and 200 ms later it is over.
func good() Outcome {
	step := func(p shutdown.Phase, name string, at, took int) shutdown.Step {
		return shutdown.Step{Phase: p, Name: name, At: time.Duration(at) * time.Millisecond, Took: time.Duration(took) * time.Millisecond}
	}
	report := shutdown.Report{
		Phase: shutdown.Done, Begun: at(100), Took: 200 * time.Millisecond,
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
			{At: at(101), Kind: hookStarted, Name: "a"}, {At: at(120), Kind: hookEnded, Name: "a"},
			{At: at(180), Kind: workEnded, Name: "POST /work/0"},
			{At: at(251), Kind: hookStarted, Name: "b"}, {At: at(290), Kind: hookEnded, Name: "b"},
			{At: at(301), Kind: waited, End: &End{Report: report, Result: "finished"}},
			{At: at(310), Kind: lastEvent},
		},
		Started: at(-20), Exited: at(312), Sent: []Sent{{at(100), "TERM"}},
		Log:      []LogLine{{"INFO", "shutdown: started"}, {"INFO", "shutdown: finished"}},
		Record:   Record{There: true, Phase: "done", Result: "finished"},
		Load:     load.Result{Requests: 100},
		Requests: []Request{{Name: "POST /work/0", Sent: true, Answered: true}},
	}
}

// end is what the outcome's child said at its end, to be changed.
func end(o *Outcome) *End { e, _ := o.end(); return e }

// move changes the time of an event.
func move(o *Outcome, kind, name string, to time.Time) {
	for i, e := range o.Journal {
		if e.Kind == kind && e.Name == name {
			o.Journal[i].At = to
		}
	}
}

// remove takes an event out.
func remove(o *Outcome, kind, name string) {
	for i, e := range o.Journal {
		if e.Kind == kind && e.Name == name {
			o.Journal = append(o.Journal[:i:i], o.Journal[i+1:]...)
			return
		}
	}
}

// failed makes the outcome one with an error, in every place where that stands.
func failed(o *Outcome, result string, steps ...shutdown.Step) {
	e := end(o)
	e.ExitCode, e.Error, e.Result, o.ExitCode = 1, "an error", result, 1
	e.Report.Steps = append(e.Report.Steps, steps...)
	o.Log[1] = LogLine{"ERROR", "shutdown: " + result}
	o.Record.Result = result
}

// forcedInClose makes the outcome one that a second SIGINT forced in Close.
func forcedInClose(o *Outcome) {
	o.Sent = []Sent{{at(100), "INT"}, {at(700), "INT"}}
	failed(o, "forced")
	end(o).ExitCode, o.ExitCode = 130, 130
	end(o).Report.Forced = errors.New("shutdown: forced: signal SIGINT")
}

// cutWork makes a piece of work one that ended when WorkContext had.
func cutWork(o *Outcome, name string, to time.Time) {
	remove(o, workEnded, name)
	o.Journal = append(o.Journal, Event{At: to, Kind: workEnded, Name: name, Cut: true})
}

// failedWorker is the end of a worker that the Report has to name.
func failedWorker() Event {
	return Event{At: at(170), Kind: workEnded, Name: "worker 1", Error: errWorker.Error()}
}

func TestARunInWhichAllIsWellViolatesNothing(t *testing.T) {
	require.Empty(t, Check(good()))
}

func TestEachInvariantNoticesWhatItIsFor(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(o *Outcome)
		want  string // the invariant
		what  string
	}{
		{"a request of the load is lost", func(o *Outcome) { o.Load.Lost = map[string]int{"RST": 1} }, "answered", "1 of 100 requests"},
		{"more are lost than there are clients", func(o *Outcome) {
			o.Stall, o.Load.Silence, o.Load.Lost = time.Second, time.Second, map[string]int{"EOF": 5}
		}, "answered", "5 of 100 requests"},
		{"clients that were not scheduled get a wrong answer", func(o *Outcome) {
			o.Stall, o.Load.Silence, o.Load.Lost = time.Second, time.Second, map[string]int{"503": 1}
		}, "answered", "503 1"},
		{"an answer of a handler that noticed the end of WorkContext is lost", func(o *Outcome) {
			o.Requests[0].Answered = false
			cutWork(o, "POST /work/0", at(180))
		}, "answered", "the answer did not arrive"},
		{"requests are lost before Force in Close", func(o *Outcome) {
			forcedInClose(o)
			o.Load.Lost = map[string]int{"RST": 1}
		}, "answered", "1 of 100 requests"},
		{"requests are lost in a forced drain that the server completed", func(o *Outcome) {
			forcedInClose(o)
			o.Journal = append(o.Journal, Event{At: at(160), Kind: workCanceled, Error: "shutdown: forced: signal SIGINT"})
			o.Load.Lost = map[string]int{"RST": 1}
		}, "answered", "1 of 100 requests"},
		{"requests are lost although SIGSTOP left time enough", func(o *Outcome) {
			o.Plan.Stop, o.Resumed = &Pause{For: 100}, at(300)
			failed(o, "finished with errors")
			end(o).Report.Steps[3].Err = errors.New("no")
			o.Load.Lost = map[string]int{"RST": 1}
		}, "answered", "1 of 100 requests"},
		{"clients that were silent lose requests on a quiet machine", func(o *Outcome) {
			o.Load.Silence, o.Load.Lost = time.Second, map[string]int{"EOF": 1}
		}, "answered", "1 of 100 requests"},
		{"a request reaches no handler", func(o *Outcome) {
			o.Requests[0].Answered = false
			remove(o, workStarted, "POST /work/0")
			remove(o, workEnded, "POST /work/0")
		}, "answered", "reached no handler"},
		{"an answer is lost", func(o *Outcome) { o.Requests[0].Answered = false }, "answered", "the answer did not arrive"},
		{"a request hangs and is not named", func(o *Outcome) {
			o.Requests[0].Answered = false
			remove(o, workEnded, "POST /work/0")
		}, "answered", "is not named"},

		{"a hook does not run", func(o *Outcome) { remove(o, hookStarted, "b") }, "hooks", "b ran 0 times"},
		{"a hook that is registered just before the end of Close does not run", func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(295), Kind: hookRegistered, Name: "late"})
		}, "hooks", "late ran 0 times"},
		{"a hook that is left behind at the deadline does not run", func(o *Outcome) {
			remove(o, hookStarted, "b")
			remove(o, hookEnded, "b")
			failed(o, "timed out")
			end(o).Report.Steps[5].LeftBehind = true
		}, "hooks", "b ran 0 times"},
		{"a hook runs twice", func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(260), Kind: hookStarted, Name: "b"})
		}, "hooks", "b ran 2 times"},
		{"a hook runs that was removed", func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(260), Kind: hookStarted, Name: "c"})
		}, "hooks", "c was removed"},
		{"a hook runs that nobody registered", func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(260), Kind: hookStarted, Name: "d"})
		}, "hooks", "was not registered"},

		{"Wait returns too late", func(o *Outcome) { move(o, waited, "", at(2000)) }, "deadline", "after the deadline"},
		{"Wait returns too late after SIGCONT", func(o *Outcome) {
			o.Resumed = at(2000)
			move(o, waited, "", at(5000))
		}, "deadline", "after the deadline"},
		{"the process ends too late", func(o *Outcome) { o.Exited = at(4000) }, "deadline", "after its last event"},
		{"the process does not end", func(o *Outcome) { o.Killed = "it had not ended" }, "deadline", "had to be killed"},
		{"the process dies of a signal", func(o *Outcome) {
			remove(o, waited, "")
			o.ExitCode, o.EndedBy = -1, "terminated"
		}, "deadline", "before Wait had returned"},
		{"SIGINT ends it although nobody pressed it three times", func(o *Outcome) {
			remove(o, waited, "")
			o.ExitCode, o.EndedBy = -1, "interrupt"
		}, "deadline", "before Wait had returned"},

		{"another exit status than the library's", func(o *Outcome) { o.ExitCode = 7 }, "agreement", "should have"},
		{"a signal that was sent before Wait returned ends the process", func(o *Outcome) {
			o.ExitCode, o.EndedBy = -1, "terminated"
		}, "agreement", "should have"},
		{"another signal than the one sent after the end ends the process", func(o *Outcome) {
			o.Sent = append(o.Sent, Sent{at(305), "HUP"})
			o.ExitCode, o.EndedBy = -1, "terminated"
		}, "agreement", "should have"},
		{"a worker fails and the Report does not say so", func(o *Outcome) {
			o.Journal = append(o.Journal, failedWorker())
			failed(o, "finished with errors")
		}, "agreement", "worker 1 failed (the worker has failed), and the Report says nothing"},
		{"a worker fails and Wait's error does not say so", func(o *Outcome) {
			o.Journal = append(o.Journal, failedWorker())
			failed(o, "finished with errors", shutdown.Step{Phase: shutdown.Running, Name: "worker 1", Err: errWorker})
		}, "agreement", "Wait's error does not say so"},
		{"a worker fails and the exit code is 0", func(o *Outcome) {
			o.Journal = append(o.Journal, failedWorker())
			failed(o, "finished with errors", shutdown.Step{Phase: shutdown.Running, Name: "worker 1", Err: errWorker})
			end(o).Error, end(o).ExitCode, o.ExitCode = errWorker.Error(), 0, 0
		}, "agreement", "worker 1 failed, and the exit code is 0"},
		{"exit code 0 after a failure", func(o *Outcome) {
			failed(o, "finished with errors")
			end(o).ExitCode, end(o).Error, o.ExitCode = 0, "", 0
		}, "agreement", "and the exit code 0"},
		{"exit code 1 after a success", func(o *Outcome) { end(o).ExitCode, o.ExitCode = 1, 1 }, "agreement", "and the exit code 1"},
		{"exit code 1 after a signal forced it", func(o *Outcome) {
			failed(o, "forced")
			end(o).Report.Forced = errors.New("shutdown: forced: signal SIGINT")
		}, "agreement", "not 130"},
		{"a phase that is not done", func(o *Outcome) { end(o).Report.Phase = shutdown.Close }, "agreement", "the phase is close"},
		{"hooks that are pending", func(o *Outcome) { end(o).Report.Pending = make([]shutdown.Step, 1) }, "agreement", "pending"},
		{"no last log line", func(o *Outcome) { o.Log = o.Log[:1] }, "agreement", "0 log lines"},
		{"a last log line that says something else", func(o *Outcome) { o.Log[1].Msg = "shutdown: timed out" }, "agreement", `the log says "timed out"`},
		{"a last log line with another level", func(o *Outcome) { o.Log[1].Level = "ERROR" }, "agreement", "has the level ERROR"},
		{"no record", func(o *Outcome) { o.Record = Record{} }, "agreement", "the record is"},
		{"a record that the library gives up without a reason", func(o *Outcome) {
			o.Record, o.LogText = Record{}, "the end could not be written in time"
		}, "agreement", "the record is"},
		{"a record that is missing on a busy machine and is not mentioned", func(o *Outcome) {
			o.Record, o.Stall = Record{}, time.Second
		}, "agreement", "the record is"},
		{"a record that cannot be read", func(o *Outcome) { o.Record.Error = "unexpected end" }, "agreement", "the record is"},
		{"a record that says something else", func(o *Outcome) { o.Record.Result = "timed out" }, "agreement", "the record is"},
		{"a record that accuses a run which ended", func(o *Outcome) { o.Record.LastRun = true }, "agreement", "the record is"},
		{"a full disk that accuses a run which ended", func(o *Outcome) {
			o.Plan.Disk, o.Record.Phase, o.Record.LastRun = diskFull, "drain", true
		}, "agreement", "says that the run was killed"},
		{"a read-only disk that is not mentioned", func(o *Outcome) {
			o.Plan.Disk, o.Plan.DiskBreaks, o.Record.Phase = diskReadOnly, inDrain, "drain"
		}, "agreement", "does not say"},
		{"a failed hook is not in the Report", func(o *Outcome) {
			remove(o, hookEnded, "b")
			o.Journal = append(o.Journal, Event{At: at(290), Kind: hookEnded, Name: "b", Error: "it failed"})
		}, "agreement", "the Report says nothing"},
		{"a hook that succeeded has failed", func(o *Outcome) {
			failed(o, "finished with errors")
			end(o).Report.Steps[1].Err = errors.New("no")
		}, "agreement", "a succeeded"},
		{"a hook that succeeded was left behind", func(o *Outcome) {
			failed(o, "timed out")
			end(o).Report.Steps[1].LeftBehind, end(o).Report.Steps[1].Err = true, errors.New("no")
			end(o).Report.Steps[1].Took = 150 * time.Millisecond
		}, "agreement", "before it was called left behind"},
		{"a Close hook is left behind although it has a reserve", func(o *Outcome) {
			failed(o, "timed out")
			end(o).Report.Steps[5].LeftBehind = true
		}, "agreement", "Close has its reserve"},
		{"a hook that hangs has ended", func(o *Outcome) { remove(o, hookEnded, "b") }, "agreement", "b has not ended"},
		{"a hook is still running", func(o *Outcome) { end(o).Report.Steps[1].Running = true }, "agreement", "still running"},
		{"a hook is missing in the Report", func(o *Outcome) { end(o).Report.Steps = end(o).Report.Steps[:5] }, "agreement", "0 times"},
		{"a hook is twice in the Report", func(o *Outcome) {
			end(o).Report.Steps = append(end(o).Report.Steps, end(o).Report.Steps[1])
		}, "agreement", "2 times"},
		{"a server's drain fails for no reason", func(o *Outcome) {
			failed(o, "finished with errors")
			end(o).Report.Steps[3].Err = errors.New("no")
		}, "agreement", "for no reason"},
		{"forced for no reason", func(o *Outcome) {
			failed(o, "forced")
			end(o).Report.Forced = errors.New("shutdown: forced: because")
		}, "agreement", "forced for no reason"},
		{"not forced by what has to", func(o *Outcome) {
			o.Plan.Table, o.Plan.First.Names = tableImmediate, []string{"TERM"}
		}, "agreement", "should have been forced"},
		{"two SIGINTs in one press force it", func(o *Outcome) {
			o.Sent = []Sent{{at(100), "INT"}, {at(300), "INT"}}
			failed(o, "forced")
			end(o).ExitCode, o.ExitCode = 130, 130
			end(o).Report.Forced = errors.New("shutdown: forced: signal SIGINT")
		}, "agreement", "for no reason"},
		{"in flight, and had not begun", func(o *Outcome) {
			failed(o, "timed out")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "GET /ghost"}}
		}, "agreement", "had not begun"},
		{"in flight, and had ended", func(o *Outcome) {
			failed(o, "timed out")
			move(o, workEnded, "POST /work/0", at(20))
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		}, "agreement", "and had ended"},
		{"never ended, and not in flight", func(o *Outcome) { remove(o, workEnded, "POST /work/0") }, "agreement", "does not name it"},
		{"left work and finished", func(o *Outcome) {
			remove(o, workEnded, "POST /work/0")
			o.Requests = nil
			failed(o, "finished with errors")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		}, "agreement", "work was left"},

		{"work was cut off and is not named", func(o *Outcome) {
			failed(o, "timed out")
			o.Journal = append(o.Journal, Event{At: at(200), Kind: workEnded, Name: "task 1", Cut: true})
		}, "truth", "1 x task 1 was cut off"},
		{"work was cut off and the exit code is 0", func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(200), Kind: workEnded, Name: "task 1", Cut: true})
		}, "truth", "the exit code is 0"},

		{"goroutines", func(o *Outcome) { o.Journal = append(o.Journal, Event{Kind: leaked, Name: "goroutines"}) }, "leaks", "goroutines"},
		{"descriptors", func(o *Outcome) { o.Journal = append(o.Journal, Event{Kind: leaked, Name: "descriptors"}) }, "leaks", "descriptors"},
		{"a file", func(o *Outcome) { o.Left = []string{"the file record.tmp"} }, "leaks", "record.tmp"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := good()
			test.spoil(&o)
			var found bool
			for _, v := range Check(o) {
				found = found || v.Invariant == test.want && strings.Contains(v.What, test.what)
			}
			require.True(t, found, "%q, %q: got %+v", test.want, test.what, Check(o))
		})
	}
}

func TestWhatIsDocumentedViolatesNothing(t *testing.T) {
	for name, change := range map[string]func(o *Outcome){
		"a request hangs and is named": func(o *Outcome) {
			o.Requests[0].Answered = false
			remove(o, workEnded, "POST /work/0")
			failed(o, "timed out")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		},
		"a client closes its own connection": func(o *Outcome) { o.Requests[0].Sent, o.Requests[0].Answered = false, false },
		"two SIGINTs with a pause": func(o *Outcome) {
			o.Sent = []Sent{{at(100), "INT"}, {at(700), "INT"}}
			failed(o, "forced")
			end(o).ExitCode, o.ExitCode = 130, 130
			end(o).Report.Forced = errors.New("shutdown: forced: signal SIGINT")
		},
		"a third SIGINT ends it": func(o *Outcome) {
			o.Sent = []Sent{{at(100), "INT"}, {at(700), "INT"}, {at(1300), "INT"}}
			remove(o, waited, "")
			o.ExitCode, o.EndedBy = -1, "interrupt"
		},
		"clients that did not run lose requests": func(o *Outcome) {
			o.Stall, o.Load.Silence, o.Load.Lost = time.Second, time.Second, map[string]int{"EOF": 4}
		},
		"a logger that is broken writes no last line": func(o *Outcome) { o.Plan.Logger, o.Log = loggerBlocks, nil },
		"a hook of a forced end is left behind before it runs": func(o *Outcome) {
			forcedInClose(o)
			remove(o, hookStarted, "a")
			remove(o, hookEnded, "a")
			end(o).Report.Steps[1].LeftBehind, end(o).Report.Steps[1].Err = true, errors.New("left behind")
		},
		"a record is late on a busy machine": func(o *Outcome) {
			o.Stall, o.Record, o.LogText = time.Second, Record{}, "the end could not be written in time"
		},
		"a record is late in a forced end": func(o *Outcome) {
			forcedInClose(o)
			o.Record, o.LogText = Record{}, "the end could not be written in time"
		},
		"a signal that is sent after Wait has returned ends the process": func(o *Outcome) {
			o.Sent = append(o.Sent, Sent{at(305), "TERM"})
			o.ExitCode, o.EndedBy = -1, "terminated"
		},
		"a handler that ends after the drain has no answer": func(o *Outcome) {
			o.Requests[0].Answered = false
			move(o, workEnded, "POST /work/0", at(255))
		},
		"a handler ends on a connection that the server cut off": func(o *Outcome) {
			o.Requests[0].Answered = false
			cutWork(o, "POST /work/0", at(180))
			o.Plan.Clients = map[string]int{slowHeader: 1}
			failed(o, "timed out")
			end(o).Report.Steps[3].Err = errors.New("1 connection cut off")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		},
		"requests are lost in a forced drain": func(o *Outcome) {
			forcedInClose(o)
			o.Journal = append(o.Journal, Event{At: at(160), Kind: workCanceled, Error: "shutdown: forced: signal SIGINT"})
			end(o).Report.Steps[3].Err = errors.New("1 connection cut off")
			o.Load.Lost = map[string]int{"RST": 1}
		},
		"a worker fails and everything says so": func(o *Outcome) {
			o.Journal = append(o.Journal, failedWorker())
			failed(o, "finished with errors", shutdown.Step{Phase: shutdown.Running, Name: "worker 1", Err: errWorker})
			end(o).Error = errWorker.Error()
		},
		"a full disk has no record": func(o *Outcome) { o.Plan.Disk, o.Record = diskFull, Record{} },
		"SIGCONT comes after the deadline": func(o *Outcome) {
			o.Resumed = at(5000)
			move(o, waited, "", at(6500))
			move(o, lastEvent, "", at(6500))
			o.Exited = at(6500)
		},
		"a hook is registered after Close has ended": func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(301), Kind: hookRegistered, Name: "late"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			change(&o)
			require.Empty(t, Check(o))
		})
	}
}

func TestAnExpectedFailureIsCountedAndDoesNotFail(t *testing.T) {
	o := good()
	o.Journal = append(o.Journal, Event{At: at(200), Kind: workEnded, Name: "task 1", Cut: true})
	require.Contains(t, expectedFailures, "truth")

	table := NewTable()
	require.Empty(t, table.Add(o))
	require.Equal(t, 2, table.expected["truth"])
	require.Equal(t, 1, table.expectedIn["truth"])

	was := expectedFailures
	t.Cleanup(func() { expectedFailures = was })
	expectedFailures = nil
	require.Len(t, table.Add(o), 2)
}

func TestTooManyExcusesFail(t *testing.T) {
	busy := good()
	busy.Stall = time.Second
	excused := busy
	excused.Load.Silence, excused.Load.Lost = time.Second, map[string]int{"EOF": 1}

	for name, test := range map[string]struct {
		good, busy, excused int
		want                string
	}{
		"one excused run":                    {good: 10, excused: 1},
		"two of ten":                         {good: 8, excused: 2, want: "excused in 2 of 10 runs"},
		"two of two hundred":                 {good: 198, excused: 2},
		"three of two hundred":               {good: 197, excused: 3, want: "more than 2"},
		"a few busy runs":                    {good: 17, busy: 3},
		"few runs, all busy":                 {busy: 20},
		"a share of the runs is busy":        {good: 85, busy: 15},
		"a larger share of the runs is busy": {good: 84, busy: 16, want: "too busy to show anything"},
	} {
		t.Run(name, func(t *testing.T) {
			table := NewTable()
			for range test.good {
				table.Add(good())
			}
			for range test.busy {
				table.Add(busy)
			}
			for range test.excused {
				require.Empty(t, table.Add(excused))
			}
			if wrong := strings.Join(table.TooMany(), "\n"); test.want == "" {
				require.Empty(t, wrong)
			} else {
				require.Contains(t, wrong, test.want)
			}
		})
	}
}

func TestAnExpectedFailureThatDoesNotOccurIsSaid(t *testing.T) {
	const stale = "remove its row from expectedFailures"
	text := func(t *Table) string {
		var s strings.Builder
		t.Print(&s, time.Second, 0)
		return s.String()
	}
	table := NewTable()
	for range minRunsForStale - 1 {
		table.Add(good())
	}
	require.NotContains(t, text(table), stale)
	table.Add(good())
	require.Contains(t, text(table), stale)

	cut := good()
	cutWork(&cut, "POST /work/0", at(180))
	table.Add(cut)
	require.NotContains(t, text(table), stale)
}

func TestAViolationSaysHowToRepeatIt(t *testing.T) {
	o := good()
	o.LogText = "a line of the log"
	text := Describe(o, []Violation{{"hooks", "b ran 2 times"}})
	for _, want := range []string{"seed 1:", "hooks: b ran 2 times", `"timeout_ms":1000`, "a line of the log", "-seed 1"} {
		require.Contains(t, text, want)
	}
}
