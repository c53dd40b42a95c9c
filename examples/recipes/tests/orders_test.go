package tests

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/shutdowntest"
)

// recipe

func TestSIGTERMFinishesTheOrderInHandAndTakesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := shutdowntest.New(t)
		q := &Queue{orders: make(chan string, 10)}
		q.orders <- "17"
		q.orders <- "18"
		m.Go("orders", q.Consume) // five seconds for each
		time.Sleep(time.Second)   // virtual: the test takes no time
		m.Signal(syscall.SIGTERM)
		require.NoError(t, m.Wait())
		require.Equal(t, []string{"17"}, q.Handled)
		require.Equal(t, 4*time.Second, m.Report().Took.Round(time.Second))
	})
}

// end
