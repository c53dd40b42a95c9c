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

// How long a report waits for names, in all. It is counted in wake-ups: a machine
// that stands still for a moment is not a name that cannot be read.
const (
	namesTick  = 10 * time.Millisecond
	namesTicks = 10
)

// inWords describes the first members, oldest first.
func (r *Reaper) inWords(members []Member, most int) []Process {
	if len(members) == 0 {
		return nil
	}
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Pid, b.Pid))
	})
	members = members[:min(len(members), most)]
	words := make([]Process, len(members))
	for i, m := range members {
		words[i] = Process{m.Pid, m.Name(), m.Age(), r.refused[m.identity()]}
	}
	// Nobody's end may wait for a name: they are read by a goroutine of their
	// own. While one hangs there is no other, and short names have to do.
	select {
	case r.naming <- struct{}{}:
	default:
		return words
	}
	commands := make(chan string, len(members))
	go func() {
		defer close(commands)
		defer func() { <-r.naming }()
		for _, m := range members {
			commands <- r.command(m)
		}
	}()
	tick := time.NewTicker(namesTick)
	defer tick.Stop()
	for read, ticks := 0, 0; ticks < namesTicks; {
		select {
		case command, more := <-commands:
			if !more {
				return words
			}
			words[read].Command = command
			read++
		case <-tick.C:
			ticks++
		}
	}
	return words
}
