package process

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// ErrKilled is wrapped by the error of a Stop that had to kill: whatever the
// killed were about to save is lost.
var ErrKilled = errors.New("killed")

// A SurvivorsError lists what Stop or Kill could not end. Survivors is empty if
// the kernel says that somebody is left, and nothing that it shows us says who.
type SurvivorsError struct {
	Root      int    // the pid of the tree's root, dead or alive
	Command   string // what it was started as
	Survivors []Survivor
}

// A Survivor is a process that could not be ended.
type Survivor struct {
	Pid     int
	Command string
	// Err is the reason: a syscall.EPERM if it belongs to another user, an error
	// that says so if it was sent SIGKILL and has not ended.
	Err error
}

func (e *SurvivorsError) Error() string {
	var b strings.Builder
	who := processes(len(e.Survivors))
	if len(e.Survivors) == 0 { // hidepid, and a kernel without CONFIG_PROC_CHILDREN
		who = "what /proc does not show"
	}
	fmt.Fprintf(&b, "process: tree %d (%s): %s could not be ended", e.Root, e.Command, who)
	if len(e.Survivors) > 0 {
		b.WriteString(": " + survivorsText(e.Survivors))
	}
	return clip.Text(b.String())
}

// survivorsText names the first few, and says how many more there are.
func survivorsText(survivors []Survivor) string {
	const few = 5
	var b strings.Builder
	for i, s := range survivors[:min(few, len(survivors))] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s (%v)", s.Pid, s.Command, s.Err)
	}
	if more := len(survivors) - few; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return clip.Text(b.String())
}

// Unwrap returns each survivor's reason, for errors.Is(err, os.ErrPermission).
func (e *SurvivorsError) Unwrap() []error {
	errs := make([]error, len(e.Survivors))
	for i, s := range e.Survivors {
		errs[i] = s.Err
	}
	return errs
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

var errStillThere = errors.New("still there after SIGKILL")
