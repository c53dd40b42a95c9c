module github.com/gracefulgo/shutdown/e2e

go 1.25.0

require (
	github.com/gracefulgo/shutdown v0.0.0
	golang.org/x/sys v0.47.0
)

replace github.com/gracefulgo/shutdown => ../
