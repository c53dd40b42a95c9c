package testclock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/testclock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

func TestRepetitionsEndAfterTheTimeLimit(t *testing.T) {
	t.Setenv(testclock.Full, "")
	synctest.Test(t, func(t *testing.T) {
		more := testclock.Repetitions(t, time.Minute)
		time.Sleep(time.Minute - time.Nanosecond)
		require.True(t, more())
		time.Sleep(time.Nanosecond)
		require.False(t, more())
	})
}

func TestFullRepetitionsHaveNoTimeLimit(t *testing.T) {
	t.Setenv(testclock.Full, "full")
	synctest.Test(t, func(t *testing.T) {
		more := testclock.Repetitions(t, time.Minute)
		time.Sleep(time.Hour)
		require.True(t, more())
	})
}

func TestAwakeMeasuresTheTimeInWhichTheProcessIsScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		awake := testclock.Awake(func() { time.Sleep(time.Second + 5*time.Millisecond) })
		require.Equal(t, time.Second, awake)
	})
}
