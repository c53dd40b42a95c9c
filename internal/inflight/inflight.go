// Package inflight is a way into a Manager's Tracker that is cheaper than
// Manager.Track: no closure, and a name that is made only if somebody asks for
// it. For packages of this module that count every request.
package inflight

// A Namer makes the name of a task when somebody asks what is in flight. It may
// be called at any time until the task has ended, by any goroutine.
type Namer interface{ TaskName() string }

// A Task is what End wants back.
type Task struct {
	Generation  uint64
	Shard, Slot int32
}

// A Tracker is a shutdown.Tracker.
type Tracker interface {
	// Begin is Track: ok is false if it is too late.
	Begin(n Namer) (t Task, ok bool)
	// End counts once for each Task.
	End(t Task)
}

// Of returns the Tracker of m, a *shutdown.Manager. Package shutdown sets it.
var Of func(m any) Tracker
