module github.com/gracefulgo/shutdown/examples

go 1.25.0

require github.com/gracefulgo/shutdown v0.0.0

replace github.com/gracefulgo/shutdown => ../
