package faults

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/load"
)

// An Event is a line of the child's journal.
type Event struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name,omitempty"`
	Error    string    `json:"error,omitempty"`
	Cut      bool      `json:"cut,omitempty"`      // work: WorkContext had ended, by the deadline or by force
	Canceled bool      `json:"canceled,omitempty"` // work: its error only says that its context has ended
	End      *End      `json:"end,omitempty"`
	TLS      string    `json:"tls,omitempty"` // listening: the second server's address
}

// Kinds of events.
const (
	started        = "started"         // signals are caught
	listening      = "listening"       // Name is the address
	hookRegistered = "hook registered" // Error is "after the end" if the shutdown was over by then
	hookRemoved    = "hook removed"    // the hook will never run
	hookStarted    = "hook started"
	hookEnded      = "hook ended"
	workStarted    = "work started"
	workEnded      = "work ended"          // Error is what a worker or job returned
	jobRegistered  = "job registered"      // Error is "after the end" if the shutdown was over by then
	startEnded     = "start ended"         // Error is what start returned; Wait had not been called
	acceptCanceled = "AcceptContext ended" // Error is the cause
	workCanceled   = "WorkContext ended"   // Error is the cause
	phaseReached   = "phase reached"       // Name is the phase
	requestArrived = "request arrived"     // Name is the request
	unavailable    = "fault not available" // Name is the fault, Error why
	waited         = "wait returned"       // End is set
	leaked         = "leaked"              // Name is what leaked
	lastEvent      = "exiting"
)

// End is the state of the child when Wait has returned.
type End struct {
	ExitCode int             `json:"exit_code"`
	Error    string          `json:"error,omitempty"`
	Report   shutdown.Report `json:"report"`
	Result   string          `json:"result"`   // of the Report
	Stall    time.Duration   `json:"stall_ns"` // the child's longest

	// Results of errors.Is for Wait's error.
	TimedOut bool `json:"is_timeout,omitempty"`
	Deadline bool `json:"is_deadline_exceeded,omitempty"`
	Forced   bool `json:"is_forced,omitempty"`

	RunEnded   string   `json:"run_ended,omitempty"`   // the panic or Goexit that ended Run; "" if it returned
	NotReached []string `json:"not_reached,omitempty"` // phases whose channel was not closed
}

// Sent is a signal that the parent sent.
type Sent struct {
	At   time.Time
	Name string
}

// A Request is a request of the plan's work. It is not part of the load.
type Request struct {
	Name     string // of the library's task
	Sent     bool   // completely
	Answered bool   // completely
	Error    string
}

// A LogLine is a line of the child's log.
type LogLine struct {
	Level  string `json:"level"`
	Msg    string `json:"msg"`
	Error  string `json:"error"`
	Worker string `json:"worker"`
	Report struct {
		CutOff string `json:"cut_off"`
	} `json:"report"`
}

// An Outcome is what is known about a run after it.
type Outcome struct {
	Plan     Plan
	Journal  []Event
	Killed   string // why the parent had to kill the child; "" if it did not
	ExitCode int    // -1 if a signal ended the process
	EndedBy  string // that signal
	Exited   time.Time
	Sent     []Sent
	Resumed  time.Time     // when SIGCONT was sent; zero if it was not
	Stall    time.Duration // the longest of the parent, which has the clients
	Log      []LogLine
	LogText  string
	Record   Record
	Load     load.Result
	Requests []Request
	Left     []string // files and processes that remain
}

// end returns the state of the child when Wait had returned, and that time.
func (o Outcome) end() (*End, time.Time) {
	for _, e := range o.Journal {
		if e.Kind == waited {
			return e.End, e.At
		}
	}
	return nil, time.Time{}
}

// all returns all events of a kind.
func (o Outcome) all(kind string) []Event {
	return slices.DeleteFunc(slices.Clone(o.Journal), func(e Event) bool { return e.Kind != kind })
}

// first returns the first event of that kind and name.
func (o Outcome) first(kind, name string) (Event, bool) {
	for _, e := range o.Journal {
		if e.Kind == kind && e.Name == name {
			return e, true
		}
	}
	return Event{}, false
}

// unfinished counts the tasks in Report.Unfinished by name.
func (o Outcome) unfinished() map[string]int {
	n := make(map[string]int)
	if end, _ := o.end(); end != nil {
		for _, t := range end.Report.Unfinished {
			n[t.Name]++
		}
	}
	return n
}

// forced reports whether the Report says that the end was forced.
func (o Outcome) forced() bool {
	end, _ := o.end()
	return end != nil && end.Report.Forced != nil
}

// cutOff counts the tasks in Report.CutOff by name.
func (o Outcome) cutOff() map[string]int {
	n := make(map[string]int)
	if end, _ := o.end(); end != nil {
		for _, t := range end.Report.CutOff {
			n[t.Name]++
		}
	}
	return n
}

// begun returns when the first signal was sent, or when the shutdown began, if that
// was before.
func (o Outcome) begun() time.Time {
	e, known := o.first(acceptCanceled, "")
	if len(o.Sent) == 0 || known && e.At.Before(o.Sent[0].At) {
		return e.At
	}
	return o.Sent[0].At
}

// stall is the longest stall of the parent or the child. With SIGSTOP only the
// parent's counts, because SIGSTOP is a stall of the child.
func (o Outcome) stall() time.Duration {
	if end, _ := o.end(); end != nil && o.Plan.Stop == nil {
		return max(o.Stall, end.Stall)
	}
	return o.Stall
}

// slack is how much later than the deadline Wait may return on a busy machine. Some
// long stalls may follow each other.
func (o Outcome) slack() time.Duration { return 300*time.Millisecond + 3*o.stall() }

// delay is how much later than its cause a step may come.
func (o Outcome) delay() time.Duration {
	return 100*time.Millisecond + 3*o.stall() + o.Plan.stopped()
}

// busyStall is a stall after which a step that has tens of milliseconds may be late.
// With a dozen busy processes on two cores, 3 of 800 runs were late with stalls of
// 131 to 255 ms, and none with shorter ones.
const busyStall = 100 * time.Millisecond

// wasBusy reports whether a stall was so long that a step of the child which has a
// few hundred milliseconds may have taken too long.
func (o Outcome) wasBusy() bool { return o.stall() > busyStall }

// drainEnd is when the plan's drain has to end at the latest.
func (o Outcome) drainEnd() time.Time {
	return o.begun().Add(o.Plan.Timeout.D() - o.Plan.reserve())
}

// shortDrain is the time that a drain without a request that hangs needs. Work of a
// plan takes up to 300 ms, but that time passes while the process is stopped too, so
// the linger of package httpserver takes longest.
const shortDrain = 250 * time.Millisecond

// wasStopped reports whether SIGSTOP left too little of the drain. The contexts of
// Drain hooks end a tenth of the drain before it does.
func (o Outcome) wasStopped() bool {
	margin := shortDrain + o.drainEnd().Sub(o.begun())/10
	return o.Plan.Stop != nil && !o.Resumed.IsZero() && o.Resumed.After(o.drainEnd().Add(-margin))
}

// wasStoppedInClose reports whether SIGSTOP took part of the reserve.
func (o Outcome) wasStoppedInClose() bool {
	if o.Plan.Stop == nil || o.Resumed.IsZero() {
		return false
	}
	closing, _ := o.phase(shutdown.Close)
	return o.Resumed.After(o.drainEnd()) || o.Resumed.After(closing)
}

// phase returns when a phase began and ended according to the Report, or zero.
func (o Outcome) phase(p shutdown.Phase) (began, ended time.Time) {
	end, _ := o.end()
	if end == nil {
		return
	}
	for _, s := range end.Report.Steps {
		if s.Phase == p && s.Name == "" {
			began = end.Report.Begun.Add(s.At)
			return began, began.Add(s.Took)
		}
	}
	return
}

// sendTime is how long before its arrival a signal may have been sent: the time is
// taken before the system call.
const sendTime = 10 * time.Millisecond

// killedAfterEnd reports whether the signal that ended the process was sent after
// Wait had returned: soon after that the Manager stops catching signals.
func (o Outcome) killedAfterEnd() bool {
	end, at := o.end()
	if end == nil || o.EndedBy == "" {
		return false
	}
	for _, s := range o.Sent {
		if signalNumbers[s.Name] == endedBy[o.EndedBy] && s.At.After(at.Add(-sendTime-o.stall())) {
			return true
		}
	}
	return false
}

func parseLog(text string) (lines []LogLine) {
	for line := range strings.Lines(text) {
		var l LogLine
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// resultOf returns the result in a Report's JSON.
func resultOf(r shutdown.Report) string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	var j struct{ Result string }
	_ = json.Unmarshal(text, &j) // it comes from Marshal
	return j.Result
}
