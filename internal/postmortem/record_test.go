package postmortem

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNobodyIsCertainToBeAProcessOfWhichNothingIsKnown(t *testing.T) {
	require.False(t, Run{PID: 1}.is(Run{PID: 1}))
	require.False(t, Run{PID: 1, Start: 5}.is(Run{PID: 1, Start: 5}))
	require.False(t, Run{PID: 1, BootID: "x"}.is(Run{PID: 1, BootID: "x"}))
}
