package systemd

import "time"

// NotifyWith is Notify with a function that gets the messages.
var NotifyWith = notify

// SetAskLimit changes how long GracePeriod waits for an answer, until undo is called.
func SetAskLimit(d time.Duration) (undo func()) {
	before := askLimit
	askLimit = d
	return func() { askLimit = before }
}
