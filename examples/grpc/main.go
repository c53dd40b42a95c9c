// Grpc shows the graceful shutdown of gRPC servers.
//
//	go run ./examples/grpc
//
// The servers have a chat, which is a long stream for each client, and a search that takes
// two seconds. Server 2 replaces server 1, as in a rolling update. A client has both kinds
// of RPC in flight when server 1 gets SIGTERM.
//
// Server 1 reports NOT_SERVING, so that new RPCs go to server 2, and goes on serving
// during its lame duck of half a second. Then it asks its clients to leave the chat, and
// the client joins the chat of server 2. Server 1 waits for the searches and exits. The
// output, shortened:
//
//	server 1 | listening on 127.0.0.1:36357
//	server 2 | listening on 127.0.0.1:34113
//	client   | joined the chat at 127.0.0.1:36357
//	health   | server 1 is SERVING
//	demo     | SIGTERM to server 1
//	health   | server 1 is NOT_SERVING
//	server 1 | INFO shutdown: started cause="signal SIGTERM" ... lame_duck_seconds=0.5 ... in_flight=5 ...
//	client   | the server asks its clients to leave
//	client   | the chat ended with io.EOF
//	client   | joined the chat at 127.0.0.1:34113
//	server 1 | INFO shutdown: waiting phase=drain waiting_for="3 x grpc /chat.Chat/Search (oldest 1.5s), ...
//	server 1 | archive closed, lines: 285
//	server 1 | INFO shutdown: finished report.result=finished report.took_seconds=2.003 ...
//	client   | the chat ended with io.EOF
//	demo     | SIGTERM to server 2
//	...
//	Lines sent 452, received 452; searches 24, without an answer 0; asked to leave 1, chats broken off 0.
//	Server 1 was SERVING, then NOT_SERVING, and exited 2.003s after its SIGTERM. Exit codes: 0, 0.
//
// With -silent, the servers do not ask their clients to leave. Then the chat delays the
// shutdown of server 1 until the end of WorkContext and is cut off, and the exit code
// is 1. The log names what the shutdown waits for:
//
//	server 1 | INFO shutdown: waiting phase=drain waiting_for="grpc /chat.Chat/Join (8.12s), ...
//	server 1 | ERROR shutdown: cut off cause="shutdown: timed out: the drain is about to end" in_flight=1 cut_off="grpc /chat.Chat/Join (9.02s)"
//	client   | the chat broke off: rpc error: code = Unavailable desc = the server is shutting down
//	...
//	Lines sent 774, received 773; searches 40, without an answer 0; asked to leave 0, chats broken off 1.
//	Server 1 was SERVING, then NOT_SERVING, and exited 5.889s after its SIGTERM. Exit codes: 1, 0.
//
// The servers are child processes. -server localhost:9090 runs one server alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	silent := flag.Bool("silent", false, "the servers do not ask their clients to leave")
	server := flag.String("server", "", "run a server on this address, such as localhost:9090")
	flag.Parse()
	if *server != "" {
		serve(*server, *silent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o, err := demo(ctx, os.Stdout, *silent)
	stop()
	if err != nil {
		log.Fatal("grpc: ", err)
	}
	fmt.Println(o)
}
