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

// A readiness is what /readyz says.
type readiness string

const (
	starting readiness = "starting"  // Wait has not been called, or Ready has never agreed
	ready    readiness = "ready"     //
	notReady readiness = "not ready" // Ready has agreed before, and does not now
	leaving  readiness = "leaving"   // the shutdown has begun, and may have ended
)

// readyTimeout is how long Options.Ready may take.
const readyTimeout = 5 * time.Second

var errSlow = errors.New("Options.Ready did not return within " + readyTimeout.String())

func (a *admin) livez(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") }

func (a *admin) readyz(w http.ResponseWriter, r *http.Request) {
	// The reason is for the status page: here anybody may ask.
	state, _ := a.readiness(r.Context())
	status := http.StatusServiceUnavailable
	if state == ready {
		status = http.StatusOK
	}
	answer(w, status, string(state))
}

// readiness blocks for readyTimeout at most. The error is that of Options.Ready.
func (a *admin) readiness(ctx context.Context) (readiness, error) {
	begun := func() bool { return a.m.Phase() != shutdown.Running }
	if begun() {
		return leaving, nil
	}
	select {
	case <-a.m.Waiting():
	default:
		return starting, nil
	}
	err := a.check(ctx)
	switch {
	case begun(): // meanwhile
		return leaving, nil
	case err == nil:
		a.agreed.Store(true)
		return ready, nil
	case a.agreed.Load():
		return notReady, err
	}
	return starting, err
}

// check asks Options.Ready. One call at a time, so that a check that hangs
// costs one goroutine and not one for each probe.
func (a *admin) check(ctx context.Context) error {
	if a.o.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errSlow)
	defer cancel()
	result := a.checks.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeoutCause(a.m.AcceptContext(), readyTimeout, errSlow)
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

func answer(w http.ResponseWriter, status int, text string) {
	answerBy(w, writeTimeout)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)+1)) // so that a flush sends all there is
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
