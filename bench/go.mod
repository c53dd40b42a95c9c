module github.com/gracefulgo/shutdown/bench

go 1.25.0

require github.com/gracefulgo/shutdown v0.0.0

require (
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/gracefulgo/shutdown => ../
