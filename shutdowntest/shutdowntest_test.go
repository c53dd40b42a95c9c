package shutdowntest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/shutdowntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

// A recorder is a testing.TB that records its failures.
type recorder struct {
	testing.TB
	output   bytes.Buffer
	failed   []string
	cleanups []func()
}

func (r *recorder) Helper()           {}
func (r *recorder) Output() io.Writer { return &r.output }
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

func TestTheShutdownRunsAtTheEndOfTheTestAndItsErrorsFailTheTest(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		do   func(t *testing.T, m *shutdown.Manager)
		fail string // "" if the test is to pass
	}{
		"an empty test": {func(*testing.T, *shutdown.Manager) {}, ""},
		"a worker that ends with its context": {func(_ *testing.T, m *shutdown.Manager) {
			m.Go("w", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}, ""},
		"a hook that fails": {func(_ *testing.T, m *shutdown.Manager) {
			m.On(shutdown.Close, "db", func(context.Context) error { return boom })
		}, `close hook "db": boom`},
		"a task that never ends":          {func(_ *testing.T, m *shutdown.Manager) { _, _ = m.Track("GET /") }, "1 task cut off: GET /"},
		"a worker that has failed":        {func(_ *testing.T, m *shutdown.Manager) { m.Go("w", func(context.Context) error { return boom }) }, `worker "w": boom`},
		"a test that starts the shutdown": {func(_ *testing.T, m *shutdown.Manager) { m.Signal(os.Interrupt) }, ""},
		"a test that calls Wait":          {func(t *testing.T, m *shutdown.Manager) { m.Begin(boom); require.ErrorIs(t, m.Wait(), boom) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{TB: t}
				m := shutdowntest.New(r)
				test.do(t, m)
				start := time.Now()
				r.end()
				require.LessOrEqual(t, time.Since(start), 9*time.Second)
				require.Equal(t, shutdown.Done, m.Phase())
				require.Contains(t, r.output.String(), "shutdown: started")
				if test.fail == "" {
					require.Empty(t, r.failed)
				} else {
					require.Len(t, r.failed, 1)
					require.Contains(t, r.failed[0], test.fail)
				}
			})
		})
	}
}

func TestNoSignalIsCaughtAndThereIsNoLameDuck(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	m := shutdowntest.New(t)
	m.On(shutdown.Drain, "http", func(context.Context) error { return nil })
	require.Zero(t, m.Report().LameDuck)
	require.Equal(t, 10*time.Second, m.Report().GracePeriod)
	require.False(t, strings.HasPrefix(m.Report().GraceSource, "guessed"))
}
