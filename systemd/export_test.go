package systemd

// NotifyWith is Notify with a function that gets the messages.
var NotifyWith = notify
