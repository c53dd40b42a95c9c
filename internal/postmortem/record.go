// Package postmortem keeps what the next start, or kubectl describe pod, wants to know
// about a process that was killed: a record in a file, and the termination message of
// a container. It stores what its caller gives it and knows nothing of what that means.
package postmortem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/wakeups"
)

const (
	// Retry is how often a lock that another instance holds is tried again.
	Retry = time.Second

	// Format is that of a File.
	Format = 1

	maxErrText = 6 << 10
)

// An Env is the process and the disk, or what a test puts in their place.
type Env struct {
	Self           func() Run
	Alive          func(Run) bool // certain to be running
	Disk           Disk
	TerminationLog string // path
}

// OfProcess is the Env of this process.
func OfProcess() Env { return Env{thisRun, isAlive, ProcessDisk, "/dev/termination-log"} }

// A Run is one process, on one machine between two of its starts. What is not known
// is empty.
type Run struct {
	Host   string `json:"host,omitempty"`
	BootID string `json:"boot_id,omitempty"`
	PID    int    `json:"pid"`
	Start  uint64 `json:"process_start,omitempty"` // in clock ticks
}

func thisRun() Run {
	host, _ := os.Hostname() // unknown
	pid := os.Getpid()
	return Run{host, bootID(), pid, startTime(pid)}
}

// is reports whether both are certain to be the same process. It may have replaced
// its program with exec.
func (r Run) is(other Run) bool {
	return r.BootID != "" && r.Start != 0 && r.BootID == other.BootID && r.PID == other.PID && r.Start == other.Start
}

func isAlive(r Run) bool { return r.is(Run{BootID: bootID(), PID: r.PID, Start: startTime(r.PID)}) }

// A State is what a record says; R is the Report.
type State[R any] struct {
	Report           R
	InFlight, CutOff int  // how many there are; the Report may not name all of them
	Running, Ended   bool // neither, while the shutdown is under way
}

// A File is the content of a record.
type File[R any] struct {
	Format   int       `json:"format"`
	Run      Run       `json:"run"`
	Started  time.Time `json:"started"`
	Written  time.Time `json:"written"`
	InFlight int       `json:"in_flight"`
	CutOff   int       `json:"cut_off,omitempty"`
	Report   R         `json:"report"`
}

// A Config says what a Record keeps.
type Config[R any] struct {
	Path    string
	Started time.Time
	State   func() State[R]                   // called when there is something to save
	Ended   func(R) bool                      // whether a Report is of a run that ended
	Killed  func(last File[R], sameBoot bool) // called once if the last run did not end
	Warn    func(msg string, args ...any)
}

// A Record is a file that says how far this run has come. Its Keeper saves it.
type Record[R any] struct {
	Keeper
	config Config[R]
	env    Env
	me     Run
	looked chan struct{} // closed when the last run's record has been looked at, or cannot be

	// Of the Keeper's goroutine.
	lock       io.Closer   // nil until the record is ours
	retry      *time.Timer // nil unless another instance has the lock
	hasLooked  bool        // looked is closed
	ended      bool        // the record has its end, or could not be given it, and the lock is released
	warnedOnce bool        // nothing has worked since the last warning

	mu     sync.Mutex // protects what follows
	last   R
	killed bool
}

// NewRecord returns a Record that takes the lock, looks at what the last run has left,
// and writes its own, on the goroutine of its Keeper.
func NewRecord[R any](c Config[R], e Env) *Record[R] {
	if absolute, err := filepath.Abs(c.Path); err == nil { // the program may change its directory
		c.Path = absolute
	}
	r := &Record[R]{config: c, env: e, me: e.Self(), looked: make(chan struct{})}
	r.Path, r.save, r.warn = c.Path, r.write, c.Warn
	r.Touch()
	return r
}

// Last returns the Report of the last run, the zero value if it is not known, and whether
// that run was killed. It waits for the disk, for Patience after the start of this run at
// most.
func (r *Record[R]) Last() (last R, killed bool) {
	wakeups.Await(r.looked, time.Until(r.config.Started.Add(Patience)))
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.killed
}

// write writes the state as it is now.
func (r *Record[R]) write() {
	if r.ended || r.lock == nil && !r.open() {
		return
	}
	state := r.config.State()
	text, err := json.Marshal(File[R]{
		Format: Format, Run: r.me, Started: r.config.Started, Written: time.Now(),
		InFlight: state.InFlight, CutOff: state.CutOff, Report: state.Report,
	})
	if err == nil {
		err = r.env.Disk.Write(r.Path, text)
	}
	if err == nil {
		r.warnedOnce = false
	} else {
		r.warnOnce(err)
		if state.Running || state.Ended {
			// What is there now would be read as the end of this run. To remove it takes
			// no space.
			_ = os.Remove(r.Path)
		}
	}
	if state.Ended {
		r.ended = true
		r.lock.Close()
	}
}

// open takes the lock and looks at what the last run has left.
func (r *Record[R]) open() bool {
	defer func() {
		if !r.hasLooked {
			r.hasLooked = true
			close(r.looked)
		}
	}()
	lock, err := r.env.Disk.Lock(r.Path + ".lock")
	if err == nil {
		if err = r.read(); err == nil {
			r.lock, r.warnedOnce = lock, false
			return true
		}
		lock.Close()
	}
	if errors.Is(err, ErrLocked) {
		err = errors.New("another instance uses it, and nothing is recorded until that has ended")
		if r.retry != nil {
			r.retry.Stop() // this was another try
		}
		r.retry = time.AfterFunc(Retry, r.Touch)
	}
	r.warnOnce(err)
	return false
}

// read looks at what is there. It fails if that must not be overwritten.
func (r *Record[R]) read() error {
	text, err := r.env.Disk.Read(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !IsRecord(text) {
		return errors.New("not a shutdown record; left unchanged")
	}
	var old File[R]
	err = json.Unmarshal(text, &old)
	if err == nil && old.Format != Format {
		err = fmt.Errorf("its format is %d, and not %d", old.Format, Format)
	}
	switch {
	case err != nil:
		r.warn("shutdown: Config.Record: what the last run left cannot be read", "path", r.Path, "error", clip.To(clip.ErrorText(err), maxErrText))
	case r.config.Ended(old.Report):
		r.setLast(old.Report, false)
	case old.Run.is(r.me): // the last run became this program with exec
	case r.env.Alive(old.Run): // its lock file has been removed
		return ErrLocked
	default:
		r.config.Killed(old, old.Run.BootID == r.me.BootID)
		r.setLast(old.Report, true)
	}
	return nil
}

func (r *Record[R]) setLast(last R, killed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.killed = last, killed
}

// IsRecord reports whether text is a record, or what a machine that lost its power has
// left of one: nothing, zeros, or the beginning.
func IsRecord(text []byte) bool {
	const begins = `{"format":`
	return len(bytes.Trim(text, "\x00")) == 0 || bytes.HasPrefix(text, []byte(begins))
}

// warnOnce warns once, until something has worked again.
func (r *Record[R]) warnOnce(err error) {
	if !r.warnedOnce {
		r.warnedOnce = true
		r.warn("shutdown: Config.Record: not written", "path", r.Path, "error", clip.To(clip.ErrorText(err), maxErrText))
	}
}
