// Package thirdparty is a test suite that uses the library together with other
// modules: listeners that wrap or are inherited, routers, WebSockets, x/net's h2c,
// HTTP/3 and WebTransport, chains of HTTP and gRPC servers, and a table of what a
// ResponseWriter can do.
//
//	go test -v ./internal/thirdparty
//
// With -v it prints tables: what the listeners lose, what calls fail with DrainAfter
// and without, and what a ResponseWriter can do without the library, with it, and
// while it drains. Documented differences are excused by name, in differs and
// differsLate.
package thirdparty
