package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without ends with the context.
func without() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := asynq.NewServer(redis, asynq.Config{})
	if err := srv.Start(asynq.HandlerFunc(handle)); err != nil {
		panic(err)
	}
	<-ctx.Done()
}

// newBroker starts a Redis.
func newBroker(t *testing.T) recipetest.Broker {
	t.Helper()
	r := miniredis.NewMiniRedis()
	require.NoError(t, r.StartAddr(loopback.Addr()))
	t.Cleanup(r.Close)
	connect := asynq.RedisClientOpt{Addr: r.Addr()}
	cl, inspector := asynq.NewClient(connect), asynq.NewInspector(connect)
	t.Cleanup(func() { cl.Close(); inspector.Close() })
	return recipetest.Broker{
		Env: []string{"RECIPE_BROKER=" + r.Addr()},
		Publish: func(ctx context.Context, n int) error {
			id := strconv.Itoa(n)
			_, err := cl.EnqueueContext(ctx, asynq.NewTask("order", []byte(id)), asynq.TaskID(id))
			if errors.Is(err, asynq.ErrTaskIDConflict) {
				return nil
			}
			return err
		},
		Settled: func() (bool, error) {
			q, err := inspector.GetQueueInfo("default")
			if err != nil {
				return false, err
			}
			if q.Size == 0 {
				t.Log("the broker's counts:", fmt.Sprintf("processed %d, failed %d, size %d", q.ProcessedTotal, q.FailedTotal, q.Size))
			}
			return q.Size == 0, nil
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
