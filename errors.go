package shutdown

import (
	"context"
	"errors"
)

var (
	// ErrTimeout is in what Wait returns if the time was up before the work
	// was done, or before a hook had returned. It is context.DeadlineExceeded as
	// well, for errors.Is.
	ErrTimeout error = timeoutError("shutdown: timed out")

	// ErrForced is in what Wait returns if the end was forced. The error that
	// matches it wraps the cause.
	ErrForced = errors.New("shutdown: forced")

	errRequested = errors.New("shutdown: requested")
	errJobsDone  = jobsDone{}
	errEnded     = errors.New("shutdown: the shutdown has ended")
)

// A timeoutError is ErrTimeout.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }

// Is makes it what a context returns whose deadline has passed.
func (e timeoutError) Is(target error) bool {
	return target == context.DeadlineExceeded
}

// A forcedError is ErrForced with its cause.
type forcedError struct{ cause error }

func (e *forcedError) Error() string {
	if e.cause == nil {
		return ErrForced.Error()
	}
	return ErrForced.Error() + ": " + e.cause.Error()
}

func (e *forcedError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrForced}
	}
	return []error{ErrForced, e.cause}
}
