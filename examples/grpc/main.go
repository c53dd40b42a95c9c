// Grpc shows the graceful shutdown of gRPC servers. They serve a chat, which is one
// long stream a client, and a search that takes two seconds. Server 2 takes over from
// server 1, as in a rolling update, and a client has both kinds of RPC under way
// when server 1 gets its SIGTERM:
//
//	go run ./examples/grpc
//
// Server 1 says NOT_SERVING, so that new RPCs go to server 2, and serves on for
// the half second of its lame duck. Then it says good-bye in the chat, where the
// client hangs up and joins again, and waits for the searches. What it prints,
// shortened:
//
//	server 1 | listening on 127.0.0.1:36357
//	server 2 | listening on 127.0.0.1:34113
//	client   | joined the chat at 127.0.0.1:36357
//	health   | server 1 is SERVING
//	demo     | SIGTERM to server 1
//	health   | server 1 is NOT_SERVING
//	server 1 | INFO shutdown: started cause="signal SIGTERM" ... lame_duck_seconds=0.5 ... in_flight=5 ...
//	client   | the server says good-bye
//	client   | the chat ended with io.EOF
//	client   | joined the chat at 127.0.0.1:34113
//	server 1 | INFO shutdown: waiting phase=drain waiting_for="3 x grpc /chat.Chat/Search (oldest 1.5s), ...
//	server 1 | archive closed, lines: 285
//	server 1 | INFO shutdown: finished report.result=finished report.took_seconds=2.003 ...
//	client   | the chat ended with io.EOF
//	demo     | SIGTERM to server 2
//	...
//	Lines said 452, heard 452; searches 24, without an answer 0; good-byes 1, chats broken off 0.
//	Server 1 was SERVING, then NOT_SERVING, and gone 2.003s after its SIGTERM. Exit codes: 0, 0.
//
// With -silent nobody says good-bye. Then the chat holds server 1 up for as long
// as RPCs may last, and is broken off, which the exit code says; the log says
// meanwhile what is waited for:
//
//	server 1 | INFO shutdown: waiting phase=drain waiting_for="grpc /chat.Chat/Join (8.12s), ...
//	server 1 | ERROR shutdown: cut off cause="shutdown: timed out: the drain is about to end" in_flight=1 cut_off="grpc /chat.Chat/Join (9.02s)"
//	client   | the chat broke off: rpc error: code = Unavailable desc = the server is shutting down
//	...
//	Lines said 774, heard 773; searches 40, without an answer 0; good-byes 0, chats broken off 1.
//	Server 1 was SERVING, then NOT_SERVING, and gone 5.889s after its SIGTERM. Exit codes: 1, 0.
//
// The servers are processes of their own; -server localhost:9090 runs one alone.
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
	silent := flag.Bool("silent", false, "the servers say no good-bye")
	server := flag.String("server", "", "be a server and listen on this address, such as localhost:9090")
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
