package wakeups_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/wakeups"
)

func TestAwaitReturnsTrueWhenTheChannelIsClosed(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, wakeups.Tick, 90 * time.Millisecond, time.Second - time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c := make(chan struct{})
			began := time.Now()
			if after == 0 {
				close(c)
			} else {
				time.AfterFunc(after, func() { close(c) })
			}
			require.True(t, wakeups.Await(c, time.Second))
			require.Equal(t, after, time.Since(began))
		})
	}
}

func TestAwaitReturnsFalseWhenTheTimeIsUp(t *testing.T) {
	for _, d := range []time.Duration{time.Millisecond, wakeups.Tick, 90 * time.Millisecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			require.False(t, wakeups.Await(make(chan struct{}), d))
			require.Equal(t, d, time.Since(began))
		})
	}
}

func TestAwaitWithoutTimeOnlyLooks(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := make(chan struct{})
			began := time.Now()
			require.False(t, wakeups.Await(c, d))
			close(c)
			require.True(t, wakeups.Await(c, d))
			require.Zero(t, time.Since(began))
		})
	}
}
