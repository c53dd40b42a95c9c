package faults

import (
	"errors"
	"time"

	"github.com/gracefulgo/shutdown"
)

// A Plan is everything that a seed determines. Parent and child read the same one.
type Plan struct {
	Seed   uint64   `json:"seed"`
	Faults []string `json:"faults"` // for the table; sorted

	Timeout  Milliseconds `json:"timeout_ms"`
	LameDuck Milliseconds `json:"lame_duck_ms"` // -1 is none
	Reserve  Milliseconds `json:"reserve_ms,omitempty"`
	Table    string       `json:"signal_table"` // one of the tables in service_linux.go

	StartUp Milliseconds `json:"start_up_ms"` // between New and the server's start
	First   Signal       `json:"first_signal"`
	Later   []Signal     `json:"later_signals,omitempty"`
	Stop    *Pause       `json:"stop,omitempty"`

	Run   bool   `json:"run,omitempty"`   // the service uses shutdown.Run, not New and Wait
	Start string `json:"start,omitempty"` // how the start of the program fails, if it does

	Hooks   []Hook         `json:"hooks"`
	Reached []Reached      `json:"reached,omitempty"`
	Work    []Work         `json:"work,omitempty"`
	Load    Load           `json:"load"`
	Clients map[string]int `json:"faulty_clients,omitempty"` // count by kind

	Logger      string `json:"logger,omitempty"`
	LoggerLines int    `json:"logger_lines,omitempty"` // lines that are written before it breaks
	Record      bool   `json:"record,omitempty"`
	Disk        string `json:"disk,omitempty"`
	DiskBreaks  string `json:"disk_breaks,omitempty"`       // in start-up or in drain
	Descriptors int    `json:"spare_descriptors,omitempty"` // 0 is no limit
	MemoryMiB   int    `json:"memory_limit_mib,omitempty"`
	OneProc     bool   `json:"gomaxprocs_1,omitempty"`
}

// reserve is the time kept for Close hooks even if earlier phases hang.
func (p Plan) reserve() time.Duration {
	if p.Reserve > 0 {
		return p.Reserve.D()
	}
	return p.Timeout.D() / 5
}

// stopped is the time between SIGSTOP and SIGCONT.
func (p Plan) stopped() time.Duration {
	if p.Stop == nil {
		return 0
	}
	return p.Stop.For.D()
}

// hooks returns all hooks that the plan registers, at any time.
func (p Plan) hooks() (all []Hook) {
	for _, h := range p.Hooks {
		all = append(append(all, h), h.Registers...)
	}
	for _, r := range p.Reached {
		all = append(all, r.Hook)
	}
	return all
}

// Milliseconds is a duration that is readable in JSON.
type Milliseconds int

// D returns m as a time.Duration.
func (m Milliseconds) D() time.Duration { return time.Duration(m) * time.Millisecond }

// A Moment is a point in time, counted from an event of the child.
type Moment struct {
	Event string       `json:"event"` // start-up, running, leave, drain, close
	After Milliseconds `json:"after_ms"`
}

// The events that a Moment can follow.
const (
	inStartUp    = "start-up"
	whileRunning = "running"
	inLeave      = "leave"
	inDrain      = "drain"
	inClose      = "close"
	atDone       = "done"
)

// phases are the phases whose start is an event.
var phases = map[string]shutdown.Phase{
	inLeave: shutdown.Leave, inDrain: shutdown.Drain, inClose: shutdown.Close, atDone: shutdown.Done,
}

// A Signal is one signal, or a storm of Count of them, taken in turn from Names.
type Signal struct {
	Moment
	Names  []string     `json:"names"`
	Count  int          `json:"count"`
	Spread Milliseconds `json:"spread_ms,omitempty"` // from the first of a storm to the last
}

// A Pause is the time between SIGSTOP and SIGCONT.
type Pause struct {
	Moment
	For Milliseconds `json:"for_ms"`
}

// A Hook describes a hook.
type Hook struct {
	Name      string       `json:"name"`
	Phase     string       `json:"phase"`
	Does      string       `json:"does"`
	Takes     Milliseconds `json:"takes_ms,omitempty"`
	Limit     Milliseconds `json:"best_effort_ms,omitempty"` // of BestEffort; 0 if the hook is made without
	Registers []Hook       `json:"registers,omitempty"`
}

// Reached is a hook that a goroutine registers when a phase has been reached.
type Reached struct {
	Phase string `json:"phase"` // leave, drain, close, done
	Hook  Hook   `json:"hook"`
}

// What a hook does.
const (
	hookSucceeds  = "succeeds"
	hookFails     = "returns an error"
	hookPanics    = "panics"
	hookGoexits   = "calls runtime.Goexit"
	hookHangs     = "hangs until its context ends"
	hookIgnores   = "ignores its context and hangs"
	hookRegisters = "registers hooks"
	hookCalls     = "calls every method"
	hookWaits     = "calls Wait"
	hookForces    = "calls Force"
	hookJobs      = "calls Job"
	hookAdmits    = "lets work in when WorkContext has ended"
)

// How a start of the program fails. All but the first need Plan.Run.
const (
	startFails    = "returns an error"
	startPanics   = "panics"
	startGoexits  = "calls runtime.Goexit"
	startCanceled = "returns its context's error after the shutdown has begun"
	startHangs    = "hangs"
)

// startName is the name that Run gives to the start of the program.
const startName = "start"

// Work is a request of a well-behaved client, a tracked task, a worker or a job.
type Work struct {
	Kind    string       `json:"kind"`
	Does    string       `json:"does"`
	Takes   Milliseconds `json:"takes_ms"`
	Returns string       `json:"returns,omitempty"` // of workers and jobs that stop because their context ended
}

// Kinds of work, and what it does.
const (
	request = "request"
	task    = "task"
	worker  = "worker"
	job     = "job"

	workEnds    = "ends"
	workStops   = "ends after the shutdown has begun"
	workGivesUp = "gives up when its context ends"
	workLate    = "reports success after its context has ended"
	workHangs   = "hangs"
	workFails   = "fails after the shutdown has begun" // workers only
	workBreaks  = "fails before it is told to stop"    // workers and jobs only
)

// What a worker or a job returns when it stops because its context ended. All but
// the first and the last say no more than that.
const (
	returnsNil     = ""
	returnsErr     = "ctx.Err()"
	returnsCause   = "context.Cause(ctx)"
	returnsWrapped = "stopped at row 17: %w"
	returnsJoined  = "ctx.Err(), joined with the cause"
	returnsFlush   = "ctx.Err(), joined with another error"
)

var (
	errWorker = errors.New("the worker has failed") // of workers and jobs
	errFlush  = errors.New("the flush has failed")  // joined with a context's error
	errStart  = errors.New("the start has failed")
)

// Load describes the well-behaved clients of package load.
type Load struct {
	Mode    string       `json:"mode"`
	Clients int          `json:"clients"`
	Takes   Milliseconds `json:"handler_takes_ms"`
}

// Kinds of faulty clients.
const (
	slowHeader     = "slow header"
	stalledReader  = "stalled reader"
	halfClosed     = "half-closed socket"
	tlsHandshake   = "TLS handshake in progress"
	stoppedUpload  = "chunked upload that stops"
	streamLimit    = "HTTP/2 streams at the limit"
	rapidReset     = "HTTP/2 rapid reset"
	hijackedClosed = "hijacked connection, closed at the beginning"
	hijackedHeld   = "hijacked connection, held"
	callsItself    = "handler that calls its own server"
)

// Signal tables, loggers and disks.
const (
	tableDefault   = "default"   // SIGTERM graceful, SIGINT graceful and then force
	tableImmediate = "immediate" // SIGHUP graceful, SIGTERM at once
	tableGraceful  = "graceful"  // SIGTERM, SIGHUP and SIGINT graceful

	loggerBlocks = "blocks"
	loggerPanics = "panics"

	diskFull      = "full"
	diskReadOnly  = "read-only"
	diskHangsLock = "hangs when it is locked"
	diskHangs     = "hangs when it is written"
)
