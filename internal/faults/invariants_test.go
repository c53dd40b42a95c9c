package faults

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestARunWithoutFaultsViolatesNoInvariant(t *testing.T) {
	require.Empty(t, Check(good()))
}

func TestEachViolationIsFound(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(o *Outcome)
		want   string // the invariant
		what   string
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
			cutUnnamed(o, "POST /work/0", at(180))
		}, "answered", "the answer did not arrive"},
		{"requests are lost before Force in Close", func(o *Outcome) {
			forcedInClose(o)
			o.Load.Lost = map[string]int{"RST": 1}
		}, "answered", "1 of 100 requests"},
		{"requests are lost in a forced drain that the server completed", func(o *Outcome) {
			forcedInClose(o)
			change(o, workCanceled, "", func(e *Event) { e.At, e.Error = at(185), "shutdown: forced: signal SIGINT" })
			o.Load.Lost = map[string]int{"RST": 1}
		}, "answered", "1 of 100 requests"},
		{"requests are lost although SIGSTOP left enough time", func(o *Outcome) {
			o.Plan.Stop, o.Resumed = &Pause{For: 100}, at(300)
			failed(o, "finished with errors")
			end(o).Report.Steps[3].Err = errors.New("no")
			o.Load.Lost = map[string]int{"RST": 1}
		}, "answered", "1 of 100 requests"},
		{"clients without a stall lose requests", func(o *Outcome) {
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
		{"a hook that is abandoned at the deadline does not run", func(o *Outcome) {
			remove(o, hookStarted, "b")
			remove(o, hookEnded, "b")
			failed(o, "timed out")
			end(o).Report.Steps[5].Abandoned = true
		}, "hooks", "b ran 0 times"},
		{"a hook runs twice", func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(260), Kind: hookStarted, Name: "b"})
		}, "hooks", "b ran 2 times"},
		{"a hook that was removed runs", func(o *Outcome) {
			o.Journal = append(o.Journal, Event{At: at(260), Kind: hookStarted, Name: "c"})
		}, "hooks", "c was removed"},
		{"a hook that was not registered runs", func(o *Outcome) {
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
		{"SIGINT ends the process although it was not sent three times", func(o *Outcome) {
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
		{"exit code 1 after a signal forced the end", func(o *Outcome) {
			failed(o, "forced")
			end(o).Report.Forced = errors.New("shutdown: forced: signal SIGINT")
		}, "agreement", "not 130"},
		{"Wait returns in another phase than done", func(o *Outcome) { end(o).Report.Phase = shutdown.Close }, "agreement", "the phase is close"},
		{"Wait returns with pending hooks", func(o *Outcome) { end(o).Report.Pending = make([]shutdown.Step, 1) }, "agreement", "pending"},
		{"no last log line", func(o *Outcome) { o.Log = o.Log[:1] }, "agreement", "0 log lines"},
		{"a last log line that says something else", func(o *Outcome) { o.Log[1].Msg = "shutdown: timed out" }, "agreement", `the log says "timed out"`},
		{"a last log line with another level", func(o *Outcome) { o.Log[1].Level = "ERROR" }, "agreement", "has the level ERROR"},
		{"no record", func(o *Outcome) { o.Record = Record{} }, "agreement", "the record is"},
		{"a record that is late without a reason", func(o *Outcome) {
			o.Record, o.LogText = Record{}, "the end could not be written in time"
		}, "agreement", "the record is"},
		{"a record that is missing on a busy machine and is not mentioned", func(o *Outcome) {
			o.Record, o.Stall = Record{}, time.Second
		}, "agreement", "the record is"},
		{"a record that cannot be read", func(o *Outcome) { o.Record.Error = "unexpected end" }, "agreement", "the record is"},
		{"a record that says something else", func(o *Outcome) { o.Record.Result = "timed out" }, "agreement", "the record is"},
		{"a record that says that a run which ended was killed", func(o *Outcome) { o.Record.LastRun = true }, "agreement", "the record is"},
		{"a record on a full disk that says that a run which ended was killed", func(o *Outcome) {
			o.Plan.Disk, o.Record.Phase, o.Record.LastRun = diskFull, "drain", true
		}, "agreement", "says that the run was killed"},
		{"a read-only disk that is not mentioned", func(o *Outcome) {
			o.Plan.Disk, o.Plan.DiskBreaks, o.Record.Phase = diskReadOnly, inDrain, "drain"
		}, "agreement", "does not say"},
		{"a failed hook is not in the Report", func(o *Outcome) {
			remove(o, hookEnded, "b")
			o.Journal = append(o.Journal, Event{At: at(290), Kind: hookEnded, Name: "b", Error: "it failed"})
		}, "agreement", "the Report says nothing"},
		{"a hook that succeeded has failed in the Report", func(o *Outcome) {
			failed(o, "finished with errors")
			end(o).Report.Steps[1].Err = errors.New("no")
		}, "agreement", "a succeeded"},
		{"a hook that succeeded was abandoned in the Report", func(o *Outcome) {
			failed(o, "timed out")
			end(o).Report.Steps[1].Abandoned, end(o).Report.Steps[1].Err = true, errors.New("no")
			end(o).Report.Steps[1].Took = 150 * time.Millisecond
		}, "agreement", "before it was reported as abandoned"},
		{"a Close hook is abandoned although it has a reserve", func(o *Outcome) {
			failed(o, "timed out")
			end(o).Report.Steps[5].Abandoned = true
		}, "agreement", "Close has its reserve"},
		{"a hook that hangs has ended in the Report", func(o *Outcome) { remove(o, hookEnded, "b") }, "agreement", "b has not ended"},
		{"a hook is still running in the Report", func(o *Outcome) { end(o).Report.Steps[1].Running = true }, "agreement", "still running"},
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
		{"not forced by an Immediate signal", func(o *Outcome) {
			o.Plan.Table, o.Plan.First.Names = tableImmediate, []string{"TERM"}
		}, "agreement", "should have been forced"},
		{"two SIGINTs within half a second force the end", func(o *Outcome) {
			o.Sent = []Sent{{at(100), "INT"}, {at(300), "INT"}}
			began(o, "signal SIGINT")
			failed(o, "forced")
			end(o).ExitCode, o.ExitCode = 130, 130
			end(o).Report.Forced = errors.New("shutdown: forced: signal SIGINT")
		}, "agreement", "for no reason"},
		{"work in flight in the Report had not begun", func(o *Outcome) {
			failed(o, "timed out")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "GET /ghost"}}
		}, "agreement", "had not begun"},
		{"work in flight in the Report had ended", func(o *Outcome) {
			failed(o, "timed out")
			move(o, workEnded, "POST /work/0", at(20))
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		}, "agreement", "and had ended"},
		{"work never ended and is not in flight in the Report", func(o *Outcome) { remove(o, workEnded, "POST /work/0") }, "agreement", "does not name it"},
		{"work was left and the result is not timed out", func(o *Outcome) {
			remove(o, workEnded, "POST /work/0")
			o.Requests = nil
			failed(o, "finished with errors")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		}, "agreement", "work was left"},

		{"work was cut off and is not named", func(o *Outcome) {
			cutTask(o)
			end(o).Report.CutOff = nil
		}, "truth", "1 x task 1 was cut off"},
		{"work was cut off twice and is named once", func(o *Outcome) {
			cutTask(o)
			note(o, 30, Event{Kind: workStarted, Name: "task 1"})
		}, "truth", "2 x task 1 was cut off, and the Report names 1"},
		{"work never ended and is not named", func(o *Outcome) {
			cutTask(o)
			note(o, 30, Event{Kind: workStarted, Name: "task 2"})
		}, "truth", "1 x task 2 was cut off, and the Report names 0"},
		{"work was admitted after the end of WorkContext and is not named", func(o *Outcome) {
			cutTask(o)
			note(o, 190, Event{Kind: workStarted, Name: "task 2"})
			note(o, 195, Event{Kind: workEnded, Name: "task 2", Cut: true})
		}, "truth", "1 x task 2 was cut off, and the Report names 0"},
		{"a request of the load was cut off and is not named", func(o *Outcome) {
			cutTask(o)
			note(o, 200, Event{Kind: workEnded, Name: "POST /", Cut: true})
		}, "truth", "1 x POST / was cut off, and the Report names 0"},
		{"work ended before the end of WorkContext and is named", func(o *Outcome) {
			cutTask(o)
			note(o, 30, Event{Kind: workStarted, Name: "task 2"})
			note(o, 150, Event{Kind: workEnded, Name: "task 2"})
			end(o).Report.CutOff = append(end(o).Report.CutOff, shutdown.Task{Name: "task 2"})
		}, "truth", "1 x task 2 was cut off, and no more than 0 were in flight"},
		{"work is named more often than it was in flight", func(o *Outcome) {
			cutTask(o)
			end(o).Report.CutOff = append(end(o).Report.CutOff, end(o).Report.CutOff[0])
		}, "truth", "2 x task 1 was cut off, and no more than 1"},
		{"more requests of the load are named than there are clients", func(o *Outcome) {
			cutTask(o)
			for range 5 {
				end(o).Report.CutOff = append(end(o).Report.CutOff, shutdown.Task{Name: "POST /"})
			}
		}, "truth", "no more than 4"},
		{"work is named although WorkContext lived until the end", func(o *Outcome) {
			cutTask(o)
			change(o, workEnded, "task 1", func(e *Event) { e.Cut = false })
			change(o, workCanceled, "", func(e *Event) { e.At, e.Error = at(300), "shutdown: the shutdown has ended" })
		}, "truth", "no more than 0 were in flight"},
		{"work was cut off and the exit code is 0", func(o *Outcome) {
			note(o, 20, Event{Kind: workStarted, Name: "task 1"})
			note(o, 200, Event{Kind: workEnded, Name: "task 1", Cut: true})
		}, "truth", "work was cut off, and the exit code is 0"},
		{"work was cut off and the result is finished", func(o *Outcome) {
			note(o, 20, Event{Kind: workStarted, Name: "task 1"})
			note(o, 200, Event{Kind: workEnded, Name: "task 1", Cut: true})
		}, "truth", `the result is "finished"`},
		{"work was cut off and the last line is INFO", func(o *Outcome) {
			note(o, 20, Event{Kind: workStarted, Name: "task 1"})
			note(o, 200, Event{Kind: workEnded, Name: "task 1", Cut: true})
		}, "truth", "the last log line is INFO"},
		{"work was cut off and the result is finished with errors", func(o *Outcome) {
			cutTask(o)
			end(o).Result = "finished with errors"
		}, "truth", `the result is "finished with errors"`},
		{"Wait's error is not ErrTimeout", func(o *Outcome) { cutTask(o); end(o).TimedOut = false }, "truth", "Wait's error is not ErrTimeout"},
		{"Wait's error is not context.DeadlineExceeded", func(o *Outcome) { cutTask(o); end(o).Deadline = false }, "truth", "Wait's error is not ErrTimeout"},
		{"Wait's error is not ErrForced", func(o *Outcome) {
			cutTask(o)
			change(o, workCanceled, "", func(e *Event) { e.Error = "shutdown: forced: signal SIGINT" })
		}, "truth", "Wait's error is not ErrForced"},
		{"Wait's error has another count", func(o *Outcome) {
			cutTask(o)
			end(o).Error = strings.ReplaceAll(end(o).Error, "1 task", "2 tasks")
		}, "truth", `does not say "1 task cut off"`},
		{"Wait's error names something else", func(o *Outcome) {
			cutTask(o)
			end(o).Error = strings.ReplaceAll(end(o).Error, "task 1", "task 2")
		}, "truth", "does not name task 1"},
		{"the last log line has another count", func(o *Outcome) { cutTask(o); o.Log[1].Report.CutOff = "2 tasks: task 1" }, "truth", `says "2 tasks`},
		{"the record has another count", func(o *Outcome) { cutTask(o); o.Record.CutOff = 0 }, "agreement", "the record is"},
		{"the record does not name the task that was cut off", func(o *Outcome) { cutTask(o); o.Record.Named = 0 }, "agreement", "the record is"},
		{"work in flight at the end of Drain was not cut off", func(o *Outcome) {
			remove(o, workEnded, "POST /work/0")
			timedOut(o)
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		}, "agreement", "was in flight when drain ended, and 0 were cut off"},

		{"no first log line", func(o *Outcome) { o.Log = o.Log[1:] }, "agreement", "0 log lines say that the shutdown started"},
		{"a first log line with another level", func(o *Outcome) { o.Log[0].Level = "ERROR" }, "agreement", "the first log line has the level ERROR"},
		{"a failure without an error in the log", func(o *Outcome) {
			o.Log = append(o.Log, LogLine{Level: "ERROR", Msg: "shutdown: failed"})
		}, "agreement", "but not what"},
		{"a result that does not follow from the Report", func(o *Outcome) { failed(o, "finished with errors") }, "agreement", "by the Report it should be"},

		{"a worker returns its context's error and has failed in the Report", func(o *Outcome) {
			stoppedWorker(o)
			failed(o, "finished with errors", shutdown.Step{Name: "worker 1", Err: errors.New("context canceled")})
		}, "agreement", "the Report says that it failed"},
		{"a worker returns its context's error and the log does not say so", func(o *Outcome) {
			stoppedWorker(o)
			o.Log = o.Log[:2]
		}, "agreement", "and the log does not say so"},
		{"a worker returns nil and has failed in the Report", func(o *Outcome) {
			note(o, 20, Event{Kind: workStarted, Name: "worker 1"})
			note(o, 120, Event{Kind: workEnded, Name: "worker 1"})
			failed(o, "finished with errors", shutdown.Step{Name: "worker 1", Err: errWorker})
		}, "agreement", "worker 1 returned nil, and the Report says"},
		{"a worker that was cut off returns its context's error and has not failed", func(o *Outcome) {
			note(o, 20, Event{Kind: workStarted, Name: "worker 1"})
			note(o, 200, Event{Kind: workEnded, Name: "worker 1", Canceled: true, Cut: true, Error: "context canceled"})
			timedOut(o, "worker 1")
		}, "agreement", "worker 1 failed (context canceled), and the Report says nothing"},
		{"a job returns its context's error and has not failed", func(o *Outcome) {
			stoppedJob(o)
			end(o).Report.Steps = end(o).Report.Steps[:6]
		}, "agreement", "job 1 failed (context canceled), and the Report says nothing"},
		{"a job stops and the Report does not say that it did not finish", func(o *Outcome) {
			stoppedJob(o)
			end(o).Report.Steps[6].Err = errors.New("context canceled")
		}, "agreement", "does not say that it did not finish"},
		{"a job is a worker in the Report", func(o *Outcome) { stoppedJob(o); end(o).Report.Steps[6].Kind = "" }, "agreement", `job 1 is a job, and a ""`},
		{"a job did not finish and Wait's error does not say so", func(o *Outcome) { stoppedJob(o); end(o).Error = "an error" }, "agreement", "job 1 failed (context canceled), and Wait's error"},
		{"a job did not finish and the exit code is 0", func(o *Outcome) { stoppedJob(o); end(o).ExitCode = 0 }, "agreement", "job 1 failed, and the exit code is 0"},
		{"a job was not started and the Report does not say so", func(o *Outcome) {
			refusedJob(o)
			end(o).Report.Steps = end(o).Report.Steps[:6]
		}, "agreement", "job 1 did not run, and the Report does not say so"},
		{"a job ran and was not started according to the Report", func(o *Outcome) {
			refusedJob(o)
			note(o, 125, Event{Kind: workStarted, Name: "job 1"})
			note(o, 126, Event{Kind: workEnded, Name: "job 1"})
		}, "agreement", "job 1 ran, and the Report says"},
		{"a job that was not started is a worker in the Report", func(o *Outcome) { refusedJob(o); end(o).Report.Steps[6].Kind = "" }, "agreement", `job 1 is a ""`},
		{"a job was not started and Wait's error does not say so", func(o *Outcome) { refusedJob(o); end(o).Error = "an error" }, "agreement", "job 1 was not started, and Wait's error"},
		{"a job was not started and the exit code is 0", func(o *Outcome) { refusedJob(o); end(o).ExitCode = 0 }, "agreement", "job 1 was not started, and the exit code is 0"},

		{"the shutdown begins with a signal that was not sent", func(o *Outcome) { began(o, "signal SIGHUP") }, "agreement", "was not sent before"},
		{"the shutdown begins without a cause", func(o *Outcome) { lastJob(o); remove(o, jobRegistered, "job 1") }, "agreement", "not all jobs had returned"},
		{"the shutdown begins before the last job has returned", func(o *Outcome) { lastJob(o); move(o, workEnded, "job 1", at(130)) }, "agreement", "not all jobs had returned"},
		{"the shutdown begins before Wait is called", func(o *Outcome) { lastJob(o); move(o, startEnded, "", at(130)) }, "agreement", "not all jobs had returned"},
		{"the shutdown begins long after the last job has returned", func(o *Outcome) {
			lastJob(o)
			move(o, workEnded, "job 1", at(20))
			move(o, acceptCanceled, "", at(200))
		}, "agreement", "the last job returned 180ms before"},
		{"the shutdown begins long after a job has failed", func(o *Outcome) {
			failedJob(o)
			move(o, workEnded, "job 1", at(20))
			move(o, acceptCanceled, "", at(200))
		}, "agreement", "job 1 failed 180ms before"},
		{"the shutdown has a cause that was not returned", func(o *Outcome) { began(o, "shutdown: because") }, "agreement", "is not an error that was returned"},
		{"the cause is an error and Wait's error does not have it", func(o *Outcome) { failedJob(o); end(o).Error = "an error" }, "agreement", "and Wait's error"},
		{"the Report has another cause than AcceptContext", func(o *Outcome) { end(o).Report.Cause = nil }, "agreement", "the cause of AcceptContext's end"},
		{"AcceptContext has not ended", func(o *Outcome) { remove(o, acceptCanceled, "") }, "agreement", "AcceptContext has not"},

		{"a start that failed has a lame duck", func(o *Outcome) { failedStart(o); end(o).Report.LameDuck = time.Second }, "agreement", "there was a lame duck"},
		{"a start panicked and Run returned", func(o *Outcome) { failedStart(o); end(o).RunEnded = "" }, "agreement", "and Run with"},
		{"a start returned and Run panicked", func(o *Outcome) { end(o).RunEnded = "panic: no" }, "agreement", "and Run with"},
		{"a start hangs and Run does not say so", func(o *Outcome) { hungStart(o); end(o).Error = "shutdown: timed out: 1 task cut off: start" }, "agreement", "start has not returned"},
		{"a start hangs and Run's error is not a timeout", func(o *Outcome) { hungStart(o); end(o).TimedOut = false }, "agreement", "start has not returned"},

		{"a phase whose channel is not closed after Wait", func(o *Outcome) { end(o).NotReached = []string{atDone} }, "agreement", "are not reached: [done]"},
		{"a phase whose channel is never closed", func(o *Outcome) { remove(o, phaseReached, inLeave) }, "agreement", "phase leave began, and its channel"},
		{"a phase whose channel is closed early", func(o *Outcome) { move(o, phaseReached, inClose, at(200)) }, "agreement", "50ms before it began"},
		{"a phase whose channel is closed late", func(o *Outcome) { move(o, phaseReached, inDrain, at(260)) }, "agreement", "110ms after it began"},

		{"a best effort counts", func(o *Outcome) { failedBestEffort(o); end(o).Report.Steps[5].BestEffort = false }, "agreement", "b is a best effort, and the Report does not say so"},
		{"a best effort is in Wait's error", func(o *Outcome) {
			failedBestEffort(o)
			failed(o, "finished")
			end(o).Error = `shutdown: close hook "b": the hook has failed`
		}, "agreement", "and Wait's error has it"},
		{"a best effort changes the result", func(o *Outcome) { failedBestEffort(o); failed(o, "finished with errors") }, "agreement", `should be "finished"`},
		{"a best effort changes the exit code", func(o *Outcome) { failedBestEffort(o); end(o).ExitCode, o.ExitCode = 1, 1 }, "agreement", "and the exit code 1"},
		{"a best effort that is abandoned times out", func(o *Outcome) {
			failedBestEffort(o)
			end(o).Report.Steps[5].Abandoned = true
			failed(o, "timed out")
		}, "agreement", `should be "finished"`},
		{"a best effort is not logged as WARN", func(o *Outcome) { failedBestEffort(o); o.Log = o.Log[:2] }, "agreement", "there is no WARN"},
		{"a best effort is logged as ERROR", func(o *Outcome) {
			failedBestEffort(o)
			o.Log = append(o.Log, LogLine{Level: "ERROR", Msg: "shutdown: failed", Error: `shutdown: close hook "b"`})
		}, "agreement", "there is an ERROR"},
		{"a best effort takes longer than its limit", func(o *Outcome) {
			failedBestEffort(o)
			end(o).Report.Steps[5].Took = time.Second
		}, "agreement", "b took 1s, and its limit is 100ms"},
		{"a best effort that succeeded is marked", func(o *Outcome) {
			o.Plan.Hooks = []Hook{{Name: "b", Phase: inClose, Limit: 100}}
			end(o).Report.Steps[5].BestEffort = true
		}, "agreement", "b succeeded, and is marked"},
		{"another hook is marked as a best effort", func(o *Outcome) { end(o).Report.Steps[5].BestEffort = true }, "agreement", "b is no best effort"},
		{"the panic of a best effort does not count", func(o *Outcome) { failedBestEffort(o); o.Plan.Hooks[0].Does = hookPanics }, "agreement", "the Report says that this does not count"},
		{"the panic of a best effort is not in Wait's error", func(o *Outcome) {
			failedBestEffort(o)
			o.Plan.Hooks[0].Does, end(o).Report.Steps[5].BestEffort = hookPanics, false
		}, "agreement", "b panics, and Wait's error"},

		{"goroutines are left", func(o *Outcome) { o.Journal = append(o.Journal, Event{Kind: leaked, Name: "goroutines"}) }, "leaks", "goroutines"},
		{"descriptors are left", func(o *Outcome) { o.Journal = append(o.Journal, Event{Kind: leaked, Name: "descriptors"}) }, "leaks", "descriptors"},
		{"a file is left", func(o *Outcome) { o.Left = []string{"the file record.tmp"} }, "leaks", "record.tmp"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := good()
			test.change(&o)
			var found bool
			for _, v := range Check(o) {
				found = found || v.Invariant == test.want && strings.Contains(v.What, test.what)
			}
			require.True(t, found, "%q, %q: got %+v", test.want, test.what, Check(o))
		})
	}
}

func TestExpectedOutcomesViolateNoInvariant(t *testing.T) {
	for name, change := range map[string]func(o *Outcome){
		"a request hangs and is named": func(o *Outcome) {
			o.Requests[0].Answered = false
			remove(o, workEnded, "POST /work/0")
			timedOut(o, "POST /work/0")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		},
		"a task is cut off and is named":       cutTask,
		"a worker returns its context's error": stoppedWorker,
		"a job returns its context's error":    stoppedJob,
		"a job is not started":                 refusedJob,
		"the last job returns":                 lastJob,
		"a job fails":                          failedJob,
		"a start panics":                       failedStart,
		"a start hangs":                        hungStart,
		"a best effort fails":                  failedBestEffort,
		"a task ends at the same time as WorkContext": func(o *Outcome) {
			cutTask(o)
			change(o, workEnded, "task 1", func(e *Event) { e.At, e.Cut = at(169), false })
		},
		"a client closes its own connection":     func(o *Outcome) { o.Requests[0].Sent, o.Requests[0].Answered = false, false },
		"two SIGINTs with a pause force the end": forcedInClose,
		"a third SIGINT ends the process": func(o *Outcome) {
			o.Sent = []Sent{{at(100), "INT"}, {at(700), "INT"}, {at(1300), "INT"}}
			remove(o, waited, "")
			o.ExitCode, o.EndedBy = -1, "interrupt"
		},
		"clients that were not scheduled lose requests": func(o *Outcome) {
			o.Stall, o.Load.Silence, o.Load.Lost = time.Second, time.Second, map[string]int{"EOF": 4}
		},
		"a broken logger writes no last line": func(o *Outcome) { o.Plan.Logger, o.Log = loggerBlocks, nil },
		"a hook of a forced end is abandoned before it runs": func(o *Outcome) {
			forcedInClose(o)
			remove(o, hookStarted, "a")
			remove(o, hookEnded, "a")
			end(o).Report.Steps[1].Abandoned, end(o).Report.Steps[1].Err = true, errors.New("abandoned")
		},
		"a record is late on a busy machine": func(o *Outcome) {
			o.Stall, o.Record, o.LogText = time.Second, Record{}, "the end could not be written in time"
		},
		"a record is late at the timeout of a process that was stopped": func(o *Outcome) {
			o.Plan.Timeout, o.Plan.Stop, o.Resumed = 220, &Pause{For: 100}, at(200)
			o.Record, o.LogText = Record{}, "the end could not be written in time"
		},
		"a record is late on a disk that is read-only": func(o *Outcome) {
			o.Plan.Timeout, o.Plan.Disk, o.Plan.DiskBreaks = 220, diskReadOnly, inDrain
			o.Record, o.LogText = Record{}, "the end could not be written in time"
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
			cutUnnamed(o, "POST /work/0", at(180))
			o.Plan.Clients = map[string]int{slowHeader: 1}
			timedOut(o, "POST /work/0")
			end(o).Report.Steps[3].Err = errors.New("1 connection cut off")
			end(o).Report.Unfinished = []shutdown.Task{{Name: "POST /work/0"}}
		},
		"requests are lost in a forced drain": func(o *Outcome) {
			forcedInClose(o)
			change(o, workCanceled, "", func(e *Event) { e.At, e.Error = at(185), "shutdown: forced: signal SIGINT" })
			end(o).Report.Steps[3].Err = errors.New("1 connection cut off")
			o.Load.Lost = map[string]int{"RST": 1}
		},
		"a worker fails and the Report says so": func(o *Outcome) {
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

func TestATableCountsEachViolation(t *testing.T) {
	o := good()
	cutTask(&o)
	end(&o).Report.CutOff = nil
	table := NewTable()
	violations := table.Add(o)
	require.Equal(t, Check(o), violations)
	require.NotEmpty(t, violations)
	require.Equal(t, 1, table.violations["truth"])
	require.Equal(t, []uint64{1}, table.violating["truth"])
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

func TestAViolationPrintsTheCommandThatRepeatsIt(t *testing.T) {
	o := good()
	o.LogText = "a line of the log"
	text := Describe(o, []Violation{{"hooks", "b ran 2 times"}})
	for _, want := range []string{"seed 1:", "hooks: b ran 2 times", `"timeout_ms":1000`, "a line of the log", "-seed 1"} {
		require.Contains(t, text, want)
	}
}
