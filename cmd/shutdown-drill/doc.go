// Shutdown-drill tells how well a service shuts down. It starts any program, in any
// language, sends it requests from many clients, stops it in the middle of that, several
// times, and reports what the clients and the process table have seen:
//
//	shutdown-drill --url http://127.0.0.1:8080/ -- ./app
//
// The output for a program that calls http.Server.Shutdown and nothing else:
//
//	MODE             ROUNDS  REQUESTS  LOST  BY KIND                   LAST REPLY TO EXIT
//	new connections  5       3155      15    EOF 8, RST 4, dial RST 3  median 3.6ms, max 4.7ms
//	keep-alive       5       5211      57    EOF 31, RST 26            median 4ms, max 4.4ms
//
//	From SIGTERM to the exit: median 7.9ms, max 8.9ms.
//	Exit: 0 in 10 of 10 shutdowns.
//	Idle connection: closed after median 1.4ms, max 2.9ms.
//
//	FAIL:
//	- 72 of 8366 requests got no answer, or one that does not count, in 10 shutdowns: EOF 39, RST 30, dial RST 3. The program's exit code was 0 all the same.
//
// The exit status is 0 if each request was answered, the program has a handler for the
// signal, exited by itself in time, with 0 (or with 128+n for signal n, as Java does, or by
// raising the signal again), left no process, and nothing listens on its port. Otherwise it
// is 1. It is 2 if there is no result: the arguments are wrong, the program does not start
// or does not answer, or it loses requests before it is stopped. (go run makes 1 of 2.)
//
// # What is measured
//
// Each client sends the next request when the last one has been answered. No request is sent
// twice: net/http, like many clients, repeats a GET that has failed, which hides losses. A
// request is lost if its client had a connection and got no complete answer, or one with a
// status of 400 or more:
//
//	EOF, RST, EPIPE, closed   the connection was closed or reset
//	GOAWAY, EOF after GOAWAY  HTTP/2 refused it
//	unsent                    it had been assigned to an HTTP/2 connection that was closed before
//	503, gRPC 14              that was its status
//	timeout                   no answer for 10 s
//	dial RST, dial timeout    the connection was reset at once, or nothing answered
//
// An answer or a dial that takes more than half a second is counted as slow, which is no
// failure. A dial of a second is one whose first SYN was dropped, for example because the
// accept queue was full.
//
// A refused dial is no loss: nothing was sent, and the client knows that it has to use
// another instance.
//
// Rounds are done with a new connection for each request, with keep-alive, and with HTTP/2
// if the program speaks it, in clear with prior knowledge. In rounds of HTTP/1.1 one more
// connection is idle. One more request is held in flight if there is a --body, whose last
// byte is sent one second after the stop, or a path that takes long: --held.
//
// What it cannot see: whether the program has flushed its data, and has told a registry or
// load balancer that it leaves. A truncated answer that has neither Content-Length nor chunks
// (HTTP/1.0) counts as complete. The idle connection occupies a server that handles one
// connection at a time.
//
// # Flags
//
//	--url URL             what the clients ask for. The host must have loopback or private
//	                      addresses. Certificates are not verified
//	-c 32                 clients
//	--rounds 5            shutdowns in each mode
//	--mode new,keepalive  modes: new, keepalive, http2 (a connection for each client),
//	                      http2shared (one for all); by default the first two and, if the
//	                      program speaks it, http2
//	--method, --body, -H  of the requests; -H "Name: value" may be repeated
//	--held PATH           a path that takes long; it is asked for right before the stop
//	--grpc METHOD         call a unary gRPC method with an empty message instead, such as
//	                      grpc.health.v1.Health/Check
//	--signal SIGTERM      how the program is stopped
//	--stop-command CMD    what stops it instead: "docker stop app"
//	--grace 30s           from the stop until the program is killed
//	--start 30s           how long it may take to answer its first request, and then to
//	                      give each client three answers
//	-v                    show the output of the program
//	--json                print JSON
//
// # In CI
//
//	jobs:
//	  drill:
//	    runs-on: ubuntu-latest
//	    steps:
//	    - uses: actions/checkout@v4
//	    - uses: actions/setup-go@v5
//	      with: {go-version: stable}
//	    - run: go install github.com/gracefulgo/shutdown/cmd/shutdown-drill@latest
//	    - run: go build -o app .
//	    - run: shutdown-drill --url http://127.0.0.1:8080/ -- ./app
//
// For a container, let the program be docker run, and stop it with docker stop, which gives
// it ten seconds:
//
//	shutdown-drill --url http://127.0.0.1:8080/ --stop-command "docker stop app" -- \
//		docker run --rm --name app --network host app:latest
//
// With a published port (-p) every service fails: Docker's proxy goes on accepting connections
// when the service has closed its port, and resets them.
//
// # Systems
//
// Signals need a Unix system; on Windows use --stop-command. Processes that the program has
// started and left are found on Linux, also daemons, and on other Unix systems in its process
// group, if they still run 0.2 s after its exit. They are killed after the round. Those of a
// container belong to its runtime, and are not found.
package main
