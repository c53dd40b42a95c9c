module github.com/gracefulgo/shutdown/internal/faults

go 1.25.0

require (
	github.com/gracefulgo/shutdown v0.0.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.47.0
)

require golang.org/x/sync v0.22.0 // indirect

replace github.com/gracefulgo/shutdown => ../../
