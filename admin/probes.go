package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/clip"
)

// A readiness is the body of a response to /readyz.
type readiness string

const (
	starting readiness = "starting" // Wait has not been called, or Options.Ready has never returned nil
	ready    readiness = "ready"
	notReady readiness = "not ready" // Options.Ready has returned nil before, and now an error
	leaving  readiness = "leaving"   // the shutdown has started, and may have ended
)

// readyTimeout is how long a call of Options.Ready may take.
const readyTimeout = 5 * time.Second

var errReadyTimeout = errors.New("Options.Ready has not returned within " + readyTimeout.String())

func (a *admin) livez(w http.ResponseWriter, _ *http.Request) { respond(w, http.StatusOK, "alive") }

func (a *admin) readyz(w http.ResponseWriter, r *http.Request) {
	// The error may have details that only the status page may show.
	state, _ := a.readiness(r.Context())
	status := http.StatusServiceUnavailable
	if state == ready {
		status = http.StatusOK
	}
	respond(w, status, string(state))
}

// readiness returns the readiness and, unless it is ready, the error of Options.Ready. It
// blocks for at most readyTimeout.
func (a *admin) readiness(ctx context.Context) (readiness, error) {
	started := func() bool { return a.m.Phase() != shutdown.Running }
	if started() {
		return leaving, nil
	}
	select {
	case <-a.m.Waiting():
	default:
		return starting, nil
	}
	err := a.check(ctx)
	switch {
	case started(): // while Options.Ready ran
		return leaving, nil
	case err == nil:
		a.wasReady.Store(true)
		return ready, nil
	case a.wasReady.Load():
		return notReady, err
	}
	return starting, err
}

// check returns the result of Options.Ready. Concurrent calls share one, so that a check
// that hangs occupies one goroutine and not one for each probe.
func (a *admin) check(ctx context.Context) error {
	if a.o.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errReadyTimeout)
	defer cancel()
	result := a.checks.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeoutCause(a.m.AcceptContext(), readyTimeout, errReadyTimeout)
		defer cancel()
		return nil, a.callReady(ctx)
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-a.m.AcceptContext().Done():
		return context.Cause(a.m.AcceptContext())
	}
}

func (a *admin) callReady(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			value := clip.Text(fmt.Sprint(r))
			err = fmt.Errorf("panic: %s", value)
			slog.Error("admin: Options.Ready panicked", "panic", value, "stack", clip.Text(string(debug.Stack())))
		}
	}()
	return a.o.Ready(ctx)
}

func respond(w http.ResponseWriter, status int, text string) {
	limitResponse(w, writeTimeout)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)+1)) // so that a flush completes the response
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
