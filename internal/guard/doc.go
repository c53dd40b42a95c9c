// Package guard is a test suite that counts what a shutdown loses, over a matrix
// of servers and loads. Each cell of the matrix is one kind of server under one
// kind of load. A round starts the server as a child process, lets 32 clients
// call it, sends it SIGTERM in the middle of that, and accounts for every
// request. The same rounds run without the library: that is the control.
//
//	go test -v ./internal/guard                                         a round of the quick cells, and the table
//	go test -v -timeout 6h ./internal/guard -rounds 300 -cells .        300 rounds of every cell
//	go test -v ./internal/guard -rounds 5 -cells 'gRPC|WebSocket'       cells whose name matches
//
// Half of the clients send short requests (1 to 3 ms), the others long ones (0.2
// to 2 s) that span the beginning of the shutdown. A request is lost if it had a
// connection and got no complete answer; no body can be sent twice, so that no
// retry hides a loss. Each cell promises how much may be lost, which is nothing,
// or a limit that the documentation names. See cells_test.go.
//
// A server closes idle connections, and a request that a client writes on one in
// that very moment is lost, with any server. So a loss on a connection that was
// idle for longer than package httpserver waits has a column of its own, IDLE,
// and a tenth of a cell's rounds, or one, may have such losses. That happens to
// clients that pause, and to clients that get no processor.
package guard
