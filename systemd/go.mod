module github.com/gracefulgo/shutdown/systemd

go 1.25.0

require (
	github.com/coreos/go-systemd/v22 v22.7.0
	github.com/godbus/dbus/v5 v5.1.0
	github.com/gracefulgo/shutdown v0.0.0
	golang.org/x/sys v0.47.0
)

replace github.com/gracefulgo/shutdown => ../
