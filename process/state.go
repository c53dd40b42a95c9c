package process

import "fmt"

// A State says whether a tree runs, is being stopped or has exited, and in the end
// what ended it.
type State int

// A tree is Running, then Stopping, then Killing. From each of them it may change
// to one of the states after it. Ended, Stopped and Killed are final.
const (
	Running  State = iota // it has not been told to stop
	Stopping              // the signal has been sent, the grace period is running
	Killing               // SIGKILL is being sent to the processes that are left
	Survived              // some processes could not be killed; they may exit yet
	Ended                 // all processes have exited by themselves
	Stopped               // all processes have exited on the signal
	Killed                // all processes have exited, some of them by SIGKILL
)

// String returns the state's name in lower case.
func (s State) String() string {
	names := [...]string{"running", "stopping", "killing", "survived", "ended", "stopped", "killed"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return names[s]
}

// over reports whether all processes have exited.
func (s State) over() bool { return s >= Ended }
