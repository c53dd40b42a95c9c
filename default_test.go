package shutdown

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// resetDefault undoes what a process can do only once.
func resetDefault(t *testing.T) {
	reset := func() { defaultManager, defaultUsed = nil, false }
	reset()
	t.Cleanup(reset)
}

func TestThePackageFunctionsUseTheDefaultManager(t *testing.T) {
	resetDefault(t)
	m, err := New(Config{Signals: map[os.Signal]Action{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	SetDefault(m)
	require.Same(t, m, Default())

	ran := make(chan string, 2)
	remove := On(Close, "db", func(context.Context) error { ran <- "db"; return nil })
	Go("worker", func(ctx context.Context) error { <-ctx.Done(); ran <- "worker"; return nil })
	done, ok := Track("request")
	require.True(t, ok)
	require.Len(t, m.Tasks(), 2)
	done()
	m.Begin(nil)
	require.NoError(t, Wait())
	require.Equal(t, "worker", <-ran)
	require.Equal(t, "db", <-ran)
	require.False(t, remove())
}

func TestTheDefaultManagerIsMadeOnFirstUse(t *testing.T) {
	resetDefault(t)
	require.Nil(t, defaultManager, "importing has no effect")
	m := Default()
	require.Same(t, m, Default())
	require.NotEmpty(t, m.signals.table)
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

func TestSetDefaultPanicsOnceTheDefaultIsInUse(t *testing.T) {
	resetDefault(t)
	m, err := New(Config{Signals: map[os.Signal]Action{}})
	require.NoError(t, err)
	require.Panics(t, func() { SetDefault(nil) })
	SetDefault(m)
	SetDefault(m) // not used yet
	_ = Default()
	require.Panics(t, func() { SetDefault(m) })
}
