// Package thirdparty is a test suite that runs the library among other people's
// code, with the real modules: listeners that wrap or are handed over, routers,
// WebSockets, x/net's h2c, HTTP/3, and a table of what a ResponseWriter can do.
//
//	go test -v ./internal/thirdparty
//
// With -v there are two tables: what the listeners lose, and what a ResponseWriter
// can do, with the library, without it, and while it drains. A test that is skipped
// shows a fault, and says which.
package thirdparty
