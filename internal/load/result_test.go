package load_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestResultsAddUp(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	one := load.Result{Requests: 10, Lost: map[string]int{"RST": 2, "EOF": 1}, Later: 4, LaterLost: 2, Refused: 3, HeldUp: 1, Delayed: 5, LastReply: late}
	two := load.Result{Requests: 5, Lost: map[string]int{"EOF": 4, "503": 2}, Later: 1, LaterLost: 1, Refused: 1, HeldUp: 2, Delayed: 2, LastReply: early}

	var sum load.Result
	sum.Add(one)
	sum.Add(two)

	require.Equal(t, load.Result{
		Requests:  15,
		Lost:      map[string]int{"RST": 2, "EOF": 5, "503": 2},
		Later:     5,
		LaterLost: 3,
		Refused:   4,
		HeldUp:    3,
		Delayed:   7,
		LastReply: late,
	}, sum)
	require.Equal(t, 9, sum.Losses())
	require.Equal(t, "EOF 5, 503 2, RST 2", sum.Kinds())
	require.Equal(t, 3, one.Losses(), "Add must not change its argument")
}
