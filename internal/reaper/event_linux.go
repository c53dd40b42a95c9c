package reaper

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Kind says what an Event reports.
type Kind string

// The kinds, and the fields of Event that each sets beside Kind.
const (
	LeaderEnded Kind = "leader ended" // Status; Count and Processes: the members that are left
	Signalled   Kind = "signalled"    // Signal; Count: those that got it; Processes: those that could not be signalled
	Killing     Kind = "killing"      // SIGKILL is about to be sent: Count, Processes
	Waiting     Kind = "waiting"      // once a second during a stop: Count, Processes
	GaveUp      Kind = "gave up"      // the members that could not be killed: Count, Processes
)

// An Event reports a step of a Reaper.
type Event struct {
	Kind      Kind
	Signal    unix.Signal
	Status    unix.WaitStatus
	Count     int
	Processes []Process // oldest first; up to 1000 if GaveUp, else the first few
}

// A Process describes a member.
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

// The time that an event waits for command lines, in all. It is counted in
// wake-ups, so that a machine that stalls does not use it up.
const (
	namesTick  = 10 * time.Millisecond
	namesTicks = 10
)

// describe describes the first members, oldest first.
func (r *Reaper) describe(members []member, most int) []Process {
	if len(members) == 0 {
		return nil
	}
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid))
	})
	members = members[:min(len(members), most)]
	described := make([]Process, len(members))
	for i, m := range members {
		described[i] = Process{m.pid, m.shortName(), m.age(), r.refused[m.identity()]}
	}
	// Reading a command line may block, and must not delay the stop, so a goroutine
	// reads them. While one is blocked there is no second, and short names are used.
	select {
	case r.naming <- struct{}{}:
	default:
		return described
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
				return described
			}
			described[read].Command = command
			read++
		case <-tick.C:
			ticks++
		}
	}
	return described
}
