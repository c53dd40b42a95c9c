// Nats is a consumer of a nats-server with JetStream in the same process.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

func handle(ctx context.Context, msg jetstream.Msg) error {
	return demo.Handle(ctx, string(msg.Data()))
}

// options returns those of the server, which other processes publish to.
func options() *server.Options {
	host, port, err := net.SplitHostPort(os.Getenv("RECIPE_BROKER"))
	if err != nil {
		host, port = "localhost", "4222"
	}
	n, _ := strconv.Atoi(port)
	return &server.Options{Host: host, Port: n, JetStream: true, StoreDir: os.Getenv("RECIPE_STORE"), NoLog: true}
}

// subscribe connects to the server.
func subscribe(ctx context.Context, s *server.Server) (jetstream.MessagesContext, error) {
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("the server is not ready")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "orders"}); err != nil {
		return nil, err
	}
	c, err := js.CreateOrUpdateConsumer(ctx, "orders", jetstream.ConsumerConfig{Durable: "orders"})
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	return c.Messages(jetstream.PullMaxMessages(1))
}

// recipe

func start(m *shutdown.Manager) error {
	opts := options()
	opts.NoSigs = true // or the server ends the process at SIGTERM
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.Start()
	m.On(shutdown.Close, "nats", func(context.Context) error {
		s.Shutdown()
		s.WaitForShutdown()
		return nil
	})
	messages, err := subscribe(m.AcceptContext(), s)
	if err != nil {
		return err
	}
	m.Go("orders", func(ctx context.Context) error {
		defer context.AfterFunc(ctx, messages.Drain)()
		for {
			msg, err := messages.Next()
			switch {
			case err != nil && ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				return err
			}
			if err := handle(m.WorkContext(), msg); err != nil {
				return err
			}
			if err := msg.DoubleAck(m.WorkContext()); err != nil {
				return err
			}
		}
	})
	return nil
}

// end
