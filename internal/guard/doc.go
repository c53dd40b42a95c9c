// Package guard is a test suite that counts the requests that a graceful shutdown
// loses, over a matrix of servers and loads. Each cell of the matrix is one kind of
// server under one kind of load. A round starts the server as a child process with
// 32 clients, sends it SIGTERM under load, and accounts for every request. The
// control, which runs the same rounds without the library, shows that the load can
// find losses.
//
//	go test -v ./internal/guard                                         a round of the quick cells, and the table
//	go test -v -timeout 6h ./internal/guard -rounds 300 -cells .        300 rounds of every cell
//	go test -v ./internal/guard -rounds 5 -cells 'gRPC|WebSocket'       cells whose name matches
//
// Half of the clients send short requests (1 to 3 ms), the others long ones (0.2
// to 2 s), which are in flight when the shutdown begins. A request is lost if it had
// a connection and got no complete answer. No body can be sent twice, so no retry
// hides a loss. With the library no cell may lose a request, and hardly any dial may take
// more than half a second; cells_test.go has the matrix, and what else each cell promises.
//
// # What is excused
//
// With any server, a request that a client sends on an idle connection is lost if the
// server closes the connection at the same time. Such losses are counted in a column
// of their own, IDLE: losses on connections that were idle for longer than package
// httpserver lingers, from when the service saw that they were idle until the kernel had
// the request. They are excused in a tenth of a cell's rounds, or in one. They happen to
// clients that pause, and to clients that are not scheduled.
//
// A GOAWAY of any server makes net/http's client fail a request that it has assigned to
// the connection and not sent yet (golang/go#62450). Rounds that lost nothing else are
// excused in a hundredth of a cell's rounds, or in one: UNSENT.
package guard
