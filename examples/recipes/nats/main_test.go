package main

import (
	"context"
	"fmt"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without lets the server catch SIGTERM, and ends with the context.
func without() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := server.NewServer(options())
	if err != nil {
		panic(err)
	}
	s.Start()
	messages, err := subscribe(ctx, s)
	if err != nil {
		panic(err)
	}
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return
		}
		if err := handle(ctx, msg); err != nil {
			return
		}
		_ = msg.Ack()
	}
}

func newBroker(t *testing.T) recipetest.Broker {
	t.Helper()
	addr := recipetest.FreeAddr(t)
	// The server is in the process under test, and is restarted with it.
	conn, err := nats.Connect("nats://"+addr, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectBufSize(-1))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return recipetest.Broker{
		Env: []string{"RECIPE_BROKER=" + addr, "RECIPE_STORE=" + t.TempDir()},
		Publish: func(ctx context.Context, n int) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := js.Publish(ctx, "orders", []byte(strconv.Itoa(n)), jetstream.WithMsgID(strconv.Itoa(n)), jetstream.WithRetryAttempts(0))
			return err
		},
		Settled: func() (bool, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			consumer, err := js.Consumer(ctx, "orders", "orders")
			if err != nil {
				return false, err
			}
			info, err := consumer.Info(ctx)
			if err != nil {
				return false, err
			}
			settled := info.NumPending == 0 && info.NumAckPending == 0
			if settled {
				t.Log("the broker's counts:", fmt.Sprintf("%d messages, %d deliveries, acknowledged up to %d",
					info.Delivered.Stream, info.Delivered.Consumer, info.AckFloor.Stream))
			}
			return settled, nil
		},
	}
}

func TestNoMessageIsLostOrDoubledInTwentyRestarts(t *testing.T) {
	recipetest.Restart(t, "recipe", newBroker(t)).NoneLost(t)
}

func TestWithoutItMessagesAreLostOrDoubled(t *testing.T) {
	c := recipetest.Restart(t, "without", newBroker(t))
	require.Positive(t, c.Lost+c.Doubled)
}
