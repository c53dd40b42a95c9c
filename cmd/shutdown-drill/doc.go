// Shutdown-drill tells how well a service shuts down. It starts any program, in any
// language, sends it requests from many clients, stops it in the middle of that, several
// times, and reports what the clients and the process table have seen:
//
//	go run github.com/gracefulgo/shutdown/cmd/shutdown-drill --url http://127.0.0.1:8080/ -- ./app
//
// The output of a program that calls http.Server.Shutdown and nothing else:
//
//	MODE             ROUNDS  REQUESTS  LOST  BY KIND         LAST REPLY TO EXIT
//	new connections  5       3921      31    EOF 22, RST 9   median 4.8ms, max 9.3ms
//	keep-alive       5       7012      25    EOF 14, RST 11  median 4.3ms, max 6ms
//
//	From SIGTERM to the exit: median 6.1ms, max 11ms.
//	Exit: 0 in 10 of 10 shutdowns.
//
//	FAIL:
//	- 56 of 10933 requests got no complete answer in 10 shutdowns: EOF 36, RST 20. Its exit code was 0 all the same.
//
// The exit status is 0 if each request was answered, the program exited by itself in time
// with 0 (or with 128+n for signal n, as Java does), left no process, and nothing listens on
// its port; else 1. It is 2 if there is no result: the arguments are wrong, the program
// does not start, or it does not answer.
//
// # What is measured
//
// Each client sends the next request when the last one has been answered, and none is sent
// twice: net/http, like many clients, repeats a GET that has failed, which hides losses. A
// request is lost if its client had a connection and got no complete answer, or one with a
// status of 400 or more: EOF (closed without an answer), RST (reset), GOAWAY, a status such
// as 503, timeout (10 s), dial RST (reset right after the handshake). A refused dial is no
// loss: it tells a client to go elsewhere.
//
// Rounds are done with a new connection for each request, with keep-alive, and with HTTP/2
// if the program speaks it, in clear with prior knowledge. In rounds of HTTP/1.1 one more
// connection is idle. A request is held in flight if there is a --body, whose last byte is
// sent one second after the stop, or a path that takes long: --held.
//
// What it cannot see: whether the program has flushed its data and told a registry or load
// balancer that it leaves. A truncated answer that has neither Content-Length nor chunks
// (HTTP/1.0) counts as complete.
//
// # Flags
//
//	--url URL             what the clients ask for. The host must be a loopback or private
//	                      address. Certificates are not verified
//	-c 32                 clients
//	--rounds 5            shutdowns in each mode
//	--mode new,keepalive  modes: new, keepalive, http2 (a connection for each client),
//	                      http2shared (one for all)
//	--method, --body, -H  of the requests; -H "Name: value" may be repeated
//	--held PATH           a path that takes long; it is asked for right before the stop
//	--grpc METHOD         call a unary gRPC method with an empty message instead, such as
//	                      grpc.health.v1.Health/Check
//	--signal SIGTERM      how the program is stopped
//	--stop-command CMD    what stops it instead: "docker stop app"
//	--grace 30s           from the stop until the program is killed
//	--start 30s           how long it may take to answer its first request
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
//	    - run: go build -o app .
//	    - run: go run github.com/gracefulgo/shutdown/cmd/shutdown-drill@latest --url http://127.0.0.1:8080/ -- ./app
//
// For a container, let the program be docker run, and stop it with docker stop, which gives
// it ten seconds:
//
//	shutdown-drill --url http://127.0.0.1:8080/ --stop-command "docker stop app" -- \
//		docker run --rm --name app -p 127.0.0.1:8080:8080 app:latest
//
// # Systems
//
// Signals need a Unix system; on Windows use --stop-command. Processes that are left are
// found on Linux wherever they went, on other Unix systems in the program's process group.
// They are killed after the round.
package main
