package shutdown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Closer makes a hook of what has a Close method: a database, a file, a client.
//
//	m.On(shutdown.Close, "db", shutdown.Closer(db))
//
// Close knows no context: one that hangs is left behind when its time is up. The
// hook fails if c is nil.
func Closer(c io.Closer) func(context.Context) error {
	return func(context.Context) error {
		if c == nil {
			return errors.New("the io.Closer is nil")
		}
		return c.Close()
	}
}

// BestEffort makes a hook of a stop that may fail without harm, such as the
// flush of a collector for traces that may be down:
//
//	m.On(shutdown.Close, "traces", shutdown.BestEffort(2*time.Second, tp.Shutdown))
//
// It has at most limit, and at most what the hook has (see On); its context ends
// a moment earlier (a tenth of limit, at least 20 ms, at most 1 s). An error is
// logged as a WARN, the Step in the Report is marked so, and neither Wait's error
// nor the result knows of it. So is a stop that ignores its context: it is left
// behind at limit. A panic and a Goexit are failures like those of any hook; and an
// error that is wrapped or joined with others by a hook around this one counts.
//
// BestEffort panics if limit is not positive or stop is nil.
func BestEffort(limit time.Duration, stop func(context.Context) error) func(context.Context) error {
	if limit <= 0 {
		panic(fmt.Sprintf("shutdown: BestEffort(%v): the limit must be positive", limit))
	}
	if stop == nil {
		panic(fmt.Sprintf("shutdown: BestEffort(%v): stop is nil", limit))
	}
	return func(ctx context.Context) error {
		if h, ok := ctx.Value(hookKey{}).(*hook); ok {
			h.bestEffort.Add(1)
			defer h.bestEffort.Add(-1)
		}
		limited, cancel := context.WithTimeoutCause(ctx, limit-unwind(limit), ErrTimeout)
		defer cancel()
		returned, abandoned := make(chan error), make(chan struct{})
		go func() {
			err := errGoexit
			defer func() {
				if r := recover(); r != nil {
					err = newPanicError(r)
				}
				select {
				case returned <- err:
				case <-abandoned:
					m, ok := FromContext(ctx)
					if _, panicked := err.(*panicError); ok && panicked { //nolint:errorlint // of this very function
						m.logFailure(fmt.Errorf("shutdown: a best-effort stop that was left behind: %w", err))
					}
				}
			}()
			if err = stop(limited); err != nil {
				err = &bestEffortError{err}
			}
		}()
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case err := <-returned:
			return err
		case <-timer.C:
			close(abandoned)
			return &bestEffortError{errLeftBehind}
		}
	}
}

// A bestEffortError is an error that does not count.
type bestEffortError struct{ err error }

func (e *bestEffortError) Error() string { return e.err.Error() }
func (e *bestEffortError) Unwrap() error { return e.err }
