package shutdown

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/testlog"
)

// The methods of an error are the program's own code. Whatever they do, the shutdown ends.
func TestAnErrorWhoseMethodsBlockOrPanicDoesNotStopTheShutdown(t *testing.T) {
	for name, newError := range map[string]func(m *Manager) error{
		"Error calls the Manager":      func(m *Manager) error { return funcError{func() string { return fmt.Sprint(m.Report().Phase) }} },
		"Error forces the end":         func(m *Manager) error { return funcError{func() string { m.Force(nil); return "x" }} },
		"Error blocks":                 func(*Manager) error { return funcError{func() string { time.Sleep(time.Hour); return "x" }} },
		"Error panics":                 func(*Manager) error { return funcError{nil} },
		"Unwrap panics on a typed nil": func(*Manager) error { var e *wrapping; return e },
	} {
		for kind, start := range map[string]func(m *Manager, err error){
			"worker":     func(m *Manager, err error) { m.Go("w", func(ctx context.Context) error { <-ctx.Done(); return err }) },
			"hook":       func(m *Manager, err error) { m.On(Drain, "h", func(context.Context) error { return err }) },
			"close hook": func(m *Manager, err error) { m.On(Close, "h", func(context.Context) error { return err }) },
			"cause":      func(m *Manager, err error) { m.Begin(err) },
			"force":      func(m *Manager, err error) { m.Force(err) },
			"job":        func(m *Manager, err error) { m.Job("j", func(ctx context.Context) error { <-ctx.Done(); return err }) },
		} {
			if kind == "job" && name == "Error blocks" {
				continue // its text is made when the job returns, on its own goroutine
			}
			t.Run(name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, err := New(Config{GracePeriod: 30 * time.Second, LameDuck: -1, Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(&testlog.Buffer{}, nil))})
					require.NoError(t, err)
					closed := false
					m.On(Close, "db", func(context.Context) error { closed = true; return nil })
					start(m, newError(m))
					began := time.Now()
					m.Begin(nil)
					err = m.Wait()
					require.LessOrEqual(t, time.Since(began), 27*time.Second)
					require.True(t, closed)
					require.Error(t, err)
					time.Sleep(100 * time.Hour)
				})
			})
		}
	}
}

type funcError struct{ text func() string }

func (e funcError) Error() string { return e.text() }

type wrapping struct{ inner error }

func (*wrapping) Error() string   { return "wrapping" }
func (w *wrapping) Unwrap() error { return w.inner }

func TestCancellationsAreDistinguishedFromOtherErrors(t *testing.T) {
	cause := errors.New("disk full")
	other := errors.New("other")
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"context.Canceled":        {context.Canceled, true},
		"the cause":               {cause, true},
		"wrapped":                 {fmt.Errorf("row 17: %w", context.Canceled), true},
		"joined":                  {errors.Join(context.Canceled, fmt.Errorf("x: %w", cause)), true},
		"joined with another":     {errors.Join(context.Canceled, other), false},
		"two verbs, and another":  {fmt.Errorf("%w: %w", other, context.Canceled), false},
		"another":                 {other, false},
		"deadline exceeded":       {context.DeadlineExceeded, false},
		"only its Is says so":     {claimsToBeCanceled{}, false},
		"cannot be compared":      {uncomparable{"x"}, false},
		"wraps nothing":           {unwrapsToNil{}, false},
		"wraps an empty list":     {unwrapsToEmptyList{}, false},
		"wraps a list with a nil": {unwrapsToListWithNil{}, false},
	} {
		require.Equal(t, test.want, isCancellation(test.err, cause), name)
	}
	require.True(t, isCancellation(SignalError{}, SignalError{}))
	require.False(t, isCancellation(uncomparable{"x"}, uncomparable{"x"}), "and no panic")
}

type claimsToBeCanceled struct{}

func (claimsToBeCanceled) Error() string        { return "rpc error: code = Canceled" }
func (claimsToBeCanceled) Is(target error) bool { return target == context.Canceled }

type uncomparable []string

func (uncomparable) Error() string { return "x" }

type unwrapsToNil struct{}

func (unwrapsToNil) Error() string { return "x" }
func (unwrapsToNil) Unwrap() error { return nil }

type unwrapsToEmptyList struct{}

func (unwrapsToEmptyList) Error() string   { return "x" }
func (unwrapsToEmptyList) Unwrap() []error { return nil }

type unwrapsToListWithNil struct{}

func (unwrapsToListWithNil) Error() string   { return "x" }
func (unwrapsToListWithNil) Unwrap() []error { return []error{context.Canceled, nil} }
