//go:build !processgroup

package process

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAMessageThatFitsIsSentAfterItsDeadline(t *testing.T) {
	a, b, err := socketPair()
	require.NoError(t, err)
	defer a.Close()
	defer b.Close()
	from, to := newLink(a), newLink(b)
	for want := range 3 {
		require.NoError(t, from.send(answer{Started: want}, -time.Second))
		var got answer
		require.NoError(t, to.receive(&got))
		require.Equal(t, want, got.Started)
	}
	require.NoError(t, b.Close())
	require.Error(t, from.send(answer{}, time.Second))
}

// A program that is stopped (SIGSTOP) does not read its reapers' messages.
func TestTheRestOfAMessageIsSentBeforeTheNext(t *testing.T) {
	a, b, err := socketPair()
	require.NoError(t, err)
	defer a.Close()
	defer b.Close()
	from, to := newLink(a), newLink(b)
	sent := 0
	for err == nil {
		err = from.send(answer{Started: sent, Doing: strings.Repeat("x", 30_000)}, 10*time.Millisecond)
		sent++
	}
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	last := make(chan error, 1)
	go func() { last <- from.send(answer{Started: sent}, time.Minute) }()
	for want := range sent + 1 {
		var got answer
		require.NoError(t, to.receive(&got))
		require.Equal(t, want, got.Started)
	}
	require.NoError(t, <-last)
}
