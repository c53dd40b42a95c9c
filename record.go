package shutdown

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

const (
	// How often a lock that another instance holds is tried again.
	recordRetry = time.Second
	// Of the tasks in flight these are named, the oldest.
	recordTasks = 256
	// Of the hooks that run or have run these are named, the last, and of those
	// to come the next.
	recordSteps = 1024
	// All names and errors together have so many bytes. With each of them
	// escaped in JSON this is less than maxRecord, so that the next start can
	// read what this one writes.
	recordText = 512 << 10

	recordFormat = 1
)

// A recorder keeps the post-mortem record: a file that says how far this run
// has come. It is used by one goroutine at a time, that of its keeper.
type recorder struct {
	path  string
	disk  disk
	alive func(run) bool
	log   *logQueue
	state func() Report
	again func()        // try once more to take the lock
	known chan struct{} // closed when the last run's record has been looked at, or cannot be

	me      run
	started time.Time
	lock    io.Closer // nil until the record is ours
	ended   bool      // the record has its end; the lock is given back
	warned  bool      // nothing has worked since the last warning
	looked  bool      // known is closed

	mu      sync.Mutex // protects what follows
	lastRun *Report
}

// A run is one process, on one machine between two of its starts. What is not
// known is empty.
type run struct {
	Host   string `json:"host,omitempty"`
	BootID string `json:"boot_id,omitempty"`
	PID    int    `json:"pid"`
	Start  uint64 `json:"process_start,omitempty"` // in clock ticks
}

func thisRun() run {
	host, _ := os.Hostname() // unknown
	pid := os.Getpid()
	return run{host, bootID(), pid, startTime(pid)}
}

// is reports whether both are certain to be the same process. It may have
// replaced its program, with exec.
func (r run) is(other run) bool {
	return r.BootID != "" && r.Start != 0 && r.BootID == other.BootID && r.PID == other.PID && r.Start == other.Start
}

// isAlive reports whether r is certain to be running.
func isAlive(r run) bool { return r.is(run{BootID: bootID(), PID: r.PID, Start: startTime(r.PID)}) }

// A record is the file.
type record struct {
	Format   int       `json:"format"`
	Run      run       `json:"run"`
	Started  time.Time `json:"started"`
	Written  time.Time `json:"written"`
	InFlight int       `json:"in_flight"`         // the Report names no more than recordTasks
	CutOff   int       `json:"cut_off,omitempty"` // likewise
	Report   Report    `json:"report"`
}

func newRecorder(path string, m *Manager) *recorder {
	if absolute, err := filepath.Abs(path); err == nil { // the program may change its directory
		path = absolute
	}
	return &recorder{
		path: path, disk: m.env.disk, alive: m.env.alive, log: m.log, state: m.Report, known: make(chan struct{}),
		me: m.env.self(), started: m.started,
	}
}

// LastRun returns how far the last run had come when it was killed, if it left a
// record (Config.Record) that has no end: its Report as of the last step, or of
// the last full second. With phase Running it had not begun to shut down. Errors
// are texts, at most the 256 oldest tasks are named, and what is very long is
// cut.
//
// ok is false if the last run ended, whatever its result, if there is no record
// or none that can be read, and as long as another process that uses it is
// alive. LastRun waits for the disk, but no longer than 250 ms after New, or a
// little longer on a machine without CPU to spare; later calls return the same
// at once, or what has become known since.
func (m *Manager) LastRun() (last Report, ok bool) {
	if m.record == nil {
		return Report{}, false
	}
	closedWithin(m.record.known, time.Until(m.started.Add(diskPatience)))
	m.record.mu.Lock()
	defer m.record.mu.Unlock()
	if m.record.lastRun == nil {
		return Report{}, false
	}
	return *m.record.lastRun, true
}

// save writes the state as it is now.
func (r *recorder) save() {
	if r.ended {
		return
	}
	if r.lock == nil && !r.open() {
		return
	}
	state := r.state()
	now := record{
		Format: recordFormat, Run: r.me, Started: r.started, Written: time.Now(),
		InFlight: len(state.Unfinished), CutOff: len(state.CutOff), Report: forRecord(state),
	}
	text, err := json.Marshal(now)
	if err == nil {
		err = r.disk.write(r.path, text)
	}
	if err != nil {
		r.warn(err)
		if state.Phase == Running || state.Phase == Done {
			// What is there now would be read as the end of this run. To remove
			// it takes no space.
			_ = os.Remove(r.path)
		}
		return
	}
	r.warned = false
	if state.Phase == Done {
		r.ended = true
		r.lock.Close()
	}
}

// forRecord is as much of r as a record has room for: names come from anywhere,
// and an error may be the answer of a server, of many megabytes.
func forRecord(r Report) Report {
	r.Steps = slices.Clone(r.Steps[max(0, len(r.Steps)-recordSteps):])
	r.Pending = slices.Clone(r.Pending[:min(len(r.Pending), recordSteps)])
	r.Unfinished = slices.Clone(r.Unfinished[:min(len(r.Unfinished), recordTasks)])
	r.CutOff = slices.Clone(r.CutOff[:min(len(r.CutOff), recordTasks)])
	limit := recordText / (3 + 2*len(r.Steps) + len(r.Pending) + len(r.Unfinished) + len(r.CutOff))
	text := func(err error) error {
		if s := errorText(err); len(s) > limit {
			return textCause(truncate(s, limit)) // a request stays one
		}
		return err
	}
	r.Cause, r.Forced = text(r.Cause), text(r.Forced)
	for i := range r.Steps {
		r.Steps[i].Name, r.Steps[i].Err = truncate(r.Steps[i].Name, limit), text(r.Steps[i].Err)
	}
	for i := range r.Pending {
		r.Pending[i].Name = truncate(r.Pending[i].Name, limit)
	}
	for _, tasks := range [][]Task{r.Unfinished, r.CutOff} {
		for i := range tasks {
			tasks[i].Name = truncate(tasks[i].Name, limit)
		}
	}
	return r
}

// open takes the lock and looks at what the last run has left.
func (r *recorder) open() bool {
	defer func() {
		if !r.looked {
			r.looked = true
			close(r.known)
		}
	}()
	lock, err := r.disk.lock(r.path + ".lock")
	if err == nil {
		if err = r.replace(); err == nil {
			r.lock, r.warned = lock, false
			return true
		}
		lock.Close()
	}
	if errors.Is(err, errLocked) {
		err = errors.New("another instance uses it, and nothing is recorded until that has ended")
		r.again()
	}
	r.warn(err)
	return false
}

// replace looks at what is there. An error means that it is not for us to
// write over.
func (r *recorder) replace() error {
	text, err := r.disk.read(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !isRecord(text) {
		return errors.New("what is there is no record, and stays as it is")
	}
	var old record
	err = json.Unmarshal(text, &old)
	if err == nil && old.Format != recordFormat {
		err = fmt.Errorf("its format is %d, and not %d", old.Format, recordFormat)
	}
	switch {
	case err != nil:
		r.log.warn("shutdown: Config.Record: what the last run left cannot be read", "path", r.path, "error", clip.To(errorText(err), maxErrText))
	case old.Report.Phase == Done || old.Run.is(r.me): // it ended, or became this program
	case r.alive(old.Run): // somebody has removed the lock's file
		return errLocked
	default:
		r.killed(old)
	}
	return nil
}

// isRecord reports whether text is a record or what a machine that lost its
// power has left of one: nothing, zeros, or the beginning.
func isRecord(text []byte) bool {
	const begins = `{"format":`
	return len(bytes.Trim(text, "\x00")) == 0 || bytes.HasPrefix(text, []byte(begins))
}

// killed says how the last run ended.
func (r *recorder) killed(old record) {
	last := old.Report
	how := clip.To(last.inShort(), maxLastText) + last.killedEarly()
	if last.Phase == Running {
		how = "while running: out of memory, eviction, docker kill, a panic or os.Exit"
	}
	if old.Run.BootID != r.me.BootID {
		how += "; the machine has been restarted since, or it was another one"
	}
	r.log.warn("shutdown: the last run was killed "+how,
		"started", old.Started, "written", old.Written, "host", shorten(old.Run.Host, maxReason), "pid", old.Run.PID,
		"in_flight", old.InFlight, "cut_off_count", old.CutOff, "report", last)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastRun = &last
}

// warn says it once, until something has worked again.
func (r *recorder) warn(err error) {
	if !r.warned {
		r.warned = true
		r.log.warn("shutdown: Config.Record: not written", "path", r.path, "error", clip.To(errorText(err), maxErrText))
	}
}
