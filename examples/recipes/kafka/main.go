// Kafka is a consumer of Kafka with franz-go.
package main

import (
	"context"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var broker = kgo.SeedBrokers(os.Getenv("RECIPE_BROKER"))

func handle(ctx context.Context, message []byte) error { return demo.Handle(ctx, string(message)) }

// recipe

func start(m *shutdown.Manager) error {
	cl, err := kgo.NewClient(broker, kgo.ConsumerGroup("orders"), kgo.ConsumeTopics("orders"),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
	if err != nil {
		return err
	}
	m.On(shutdown.Close, "kafka", func(context.Context) error {
		cl.CloseAllowingRebalance() // leaves the group, so that another member takes over at once
		return nil
	})
	m.Go("orders", func(ctx context.Context) error { return consume(ctx, m.WorkContext(), cl) })
	return nil
}

func consume(ctx, work context.Context, cl *kgo.Client) error {
	for {
		fetches := cl.PollRecords(ctx, 10)
		if err := fetches.Err(); err != nil {
			return err
		}
		for records := fetches.RecordIter(); !records.Done() && ctx.Err() == nil; {
			r := records.Next()
			if err := handle(work, r.Value); err != nil {
				return err
			}
			if err := cl.CommitRecords(work, r); err != nil {
				return err
			}
		}
		cl.AllowRebalance()
	}
}

// end
