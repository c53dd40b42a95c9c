package process

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// ErrKilled is wrapped by the error of a Stop that sent SIGKILL to some of the
// processes. What these had not saved is lost.
var ErrKilled = errors.New("killed")

// A SurvivorsError lists the processes that Stop or Kill could not end. Survivors
// is empty if the kernel reports that processes are left and /proc does not show
// which.
type SurvivorsError struct {
	Root      int    // the PID of the child, which may have exited
	Command   string // the child's command line
	Survivors []Survivor
}

// A Survivor is a process that could not be ended.
type Survivor struct {
	Pid     int
	Command string
	// Err is the reason: syscall.EPERM if the process belongs to another user. If
	// it has not exited after SIGKILL, Err says so.
	Err error
}

// Error names the first few processes. It is one line of at most 2 KB.
func (e *SurvivorsError) Error() string {
	var b strings.Builder
	what := processes(len(e.Survivors))
	if len(e.Survivors) == 0 { // hidepid, and a kernel without CONFIG_PROC_CHILDREN
		what = "processes that /proc does not show"
	}
	fmt.Fprintf(&b, "process: tree %d (%s): %s could not be ended", e.Root, e.Command, what)
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

// Unwrap returns the reason of each survivor, for errors.Is(err, os.ErrPermission).
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
