package main

import (
	"context"
	"fmt"
	"net"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without ends with the context, and commits automatically.
func without() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cl, err := kgo.NewClient(broker, kgo.ConsumerGroup("orders"), kgo.ConsumeTopics("orders"))
	if err != nil {
		panic(err)
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if err := handle(ctx, r.Value); err != nil {
				fmt.Println("message", string(r.Value), err)
			}
		})
	}
}

// newBroker starts a broker with a topic of one partition.
func newBroker(t *testing.T) recipetest.Broker {
	t.Helper()
	host := loopback.Host()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, host+":0") }))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	addrs := cluster.ListenAddrs()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	published := 0
	return recipetest.Broker{
		Env: []string{"RECIPE_BROKER=" + addrs[0]},
		Publish: func(ctx context.Context, n int) error {
			err := cl.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte(strconv.Itoa(n))}).FirstErr()
			if err == nil {
				published = n
			}
			return err
		},
		Settled: func() (bool, error) {
			g := cluster.GroupInfo("orders")
			if g == nil {
				return false, nil
			}
			committed := g.Commits["orders"][0].Offset
			if committed == int64(published) {
				t.Log("the broker's counts:", fmt.Sprintf("%d records, committed up to %d", published, committed))
			}
			return committed == int64(published), nil
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
