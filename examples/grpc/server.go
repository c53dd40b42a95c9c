package main

import (
	"fmt"
	"log"
	"os"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/grpc/chat"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/listener"
)

// serve is the main function of a server. It does not return.
func serve(addr string, silent bool) {
	m, err := shutdown.New(shutdown.Config{}) // from here on signals are caught
	if err != nil {
		log.Fatal(err)
	}
	if err := start(m, addr, silent); err != nil {
		m.Begin(err)
	}
	err = m.Wait()
	fmt.Println(m.Report())
	os.Exit(shutdown.ExitCode(err))
}

func start(m *shutdown.Manager, addr string, silent bool) error {
	a := &archive{}
	m.On(shutdown.Close, "archive", a.close) // runs when all RPCs have ended

	r := &room{archive: a, members: map[member]bool{}, closing: make(chan struct{})}
	if !silent {
		m.On(shutdown.Drain, "chat room", r.close)
	}

	srv := grpcserver.NewServer(m)
	chat.RegisterChatServer(srv, r)
	h := health.NewServer()
	healthpb.RegisterHealthServer(srv, h)
	grpcserver.Health(m, h) // clients and load balancers use other servers

	ln, err := listener.Listen(m.AcceptContext(), "tcp", addr)
	if err != nil {
		return err
	}
	if err := srv.Serve(ln); err != nil {
		return err
	}
	fmt.Println(listening + ln.Addr().String())
	return nil
}

// listening starts the line with the address of a server.
const listening = "listening on "
