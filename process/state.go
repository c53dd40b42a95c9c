package process

import (
	"fmt"
)

// A State is how far a tree has got, and in the end what ended it.
type State int

// A tree is Running, then Stopping, then Killing, and may leave any of them for
// the corresponding end.
const (
	Running  State = iota // nobody has asked it to end
	Stopping              // it has had the signal, and the grace period runs
	Killing               // what is left is being killed
	Survived              // some of it could not be killed; it may end yet
	Ended                 // all of it has ended, by itself
	Stopped               // all of it has ended, on the signal
	Killed                // all of it has ended, but some had to be killed
)

// String returns the state's name in lower case.
func (s State) String() string {
	names := [...]string{"running", "stopping", "killing", "survived", "ended", "stopped", "killed"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return names[s]
}

// over says whether all of it has ended.
func (s State) over() bool { return s >= Ended }
