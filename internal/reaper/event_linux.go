package reaper

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Kind says what happened.
type Kind string

// What a Reaper reports.
const (
	LeaderEnded Kind = "leader ended" // Status; Count, Processes: who is left
	Signalled   Kind = "signalled"    // Signal, Count; Processes are those who refused it
	Killing     Kind = "killing"      // the grace period is over: Count, Processes
	Waiting     Kind = "waiting"      // once a second from Stop on: Count, Processes
	GaveUp      Kind = "gave up"      // what could not be killed: Count, Processes
)

// An Event is a step that a Reaper has taken.
type Event struct {
	Kind      Kind
	Signal    unix.Signal
	Status    unix.WaitStatus
	Count     int
	Processes []Process // oldest first; all of them if GaveUp, else the first few
}

// A Process is a member in words.
type Process struct {
	Pid     int
	Command string
	Age     time.Duration
	Errno   unix.Errno // why it could not be signalled; 0 if it could
}

const (
	fewProcesses  = 5
	manyProcesses = 1000
)

// inWords describes the first members, oldest first.
func (r *Reaper) inWords(members []Member, most int) []Process {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Pid, b.Pid))
	})
	var words []Process
	for _, m := range members[:min(len(members), most)] {
		words = append(words, Process{m.Pid, m.Command(), m.Age(), r.refused[m.identity()]})
	}
	return words
}
