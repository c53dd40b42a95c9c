// Package shutdowntest gives tests a Manager that touches nothing outside of
// them: no signals, no lame duck, and its log is the test's.
//
//	func TestOrders(t *testing.T) {
//		m := shutdowntest.New(t)
//		srv := orders.Start(m)
//		// ... requests, and what is expected of them
//	} // here the shutdown runs, and has to end well
//
// It works inside of a testing/synctest bubble as well, where all of the
// shutdown is in virtual time.
package shutdowntest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/gracefulgo/shutdown"
)

// New returns a Manager for t. It catches no signals ([shutdown.Manager.Signal]
// stands in for them), has no lame duck, and logs to t.
//
// When the test has ended New's cleanup begins the shutdown, if the test has not,
// and waits for its end, which comes within 9 s. The test fails if something
// failed, was cut off or was left behind. A test that calls Wait itself judges
// what it returns: then the cleanup only waits.
//
// The three environment variables that [shutdown.Config] lists apply here as well.
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
		judged := false
		select {
		case <-m.Waiting():
			judged = true
		default:
		}
		m.Begin(nil)
		if err := m.Wait(); err != nil && !judged {
			t.Errorf("shutdowntest: the shutdown did not end well: %v\n%v", err, m.Report())
		}
	})
	return m
}
