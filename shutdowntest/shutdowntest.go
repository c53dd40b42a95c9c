// Package shutdowntest provides a Manager for tests. It catches no signals, has no lame
// duck, and logs to the test. At the end of the test its shutdown runs, and the test
// fails if that fails.
//
//	func TestOrders(t *testing.T) {
//		m := shutdowntest.New(t)
//		srv := orders.Start(m)
//		// requests and assertions
//	}
//
// In a testing/synctest bubble the shutdown runs in virtual time.
package shutdowntest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/gracefulgo/shutdown"
)

// New returns a Manager for t. It does not block. The Manager catches no signals; use
// [shutdown.Manager.Signal] instead. It has no lame duck, and a grace period of 10 s,
// unless the environment variables that [shutdown.Config] lists say otherwise. It logs
// to t.
//
// At the end of the test a cleanup function starts the shutdown, unless the test has
// done so, and waits until it has ended, which takes at most 9 s. The test fails if a
// hook or worker returned an error, if work was cut off, or if a hook was abandoned. If
// the test calls Wait, it checks the result itself, and the cleanup function only waits.
func New(t testing.TB) *shutdown.Manager {
	t.Helper()
	m, err := shutdown.New(shutdown.Config{
		GracePeriod: 10 * time.Second,
		LameDuck:    -1,
		Signals:     shutdown.NoSignals(),
		Logger:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatalf("shutdowntest: %v", err)
	}
	t.Cleanup(func() {
		checked := false // by the test
		select {
		case <-m.Waiting():
			checked = true
		default:
		}
		m.Begin(nil)
		if err := m.Wait(); err != nil && !checked {
			t.Errorf("shutdowntest: shutdown: %v\n%v", err, m.Report())
		}
	})
	return m
}
