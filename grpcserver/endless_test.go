package grpcserver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
)

// An output can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *output) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *output) lines(with string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return found
}

// The budget of these tests: Drain ends after 7 s, WorkContext 1.4 s before it.
var endlessBudget = shutdown.Config{GracePeriod: 10 * time.Second, Timeout: 8 * time.Second, Reserve: time.Second}

const drainEnd = 7 * time.Second

// For real time on a slow machine: Drain ends after 11 s, WorkContext 2 s before it, and
// Close has time.
var roomyBudget = shutdown.Config{GracePeriod: 65 * time.Second, Timeout: time.Minute, Reserve: 49 * time.Second}

// retry repeats a round that needs the last two seconds of Drain in roomyBudget, because
// a slow machine may not use them.
func retry(t *testing.T, round func() error) {
	t.Helper()
	for try := 1; ; try++ {
		err := round()
		if err == nil {
			return
		}
		require.Less(t, try, 5, "%v", err)
		t.Log("again: ", err)
	}
}

// There are three kinds of handlers of streams that have no end of their own.
func TestAnEndlessStreamEndsBeforeTheCloseHooks(t *testing.T) {
	for name, handler := range map[string]func(pb.TestService_FullDuplexCallServer) error{
		"it waits for its context": func(s pb.TestService_FullDuplexCallServer) error {
			<-s.Context().Done()
			return s.Context().Err()
		},
		"it is blocked in Recv": func(s pb.TestService_FullDuplexCallServer) error {
			_, err := s.Recv()
			return err
		},
		"it is blocked in Send, because the client does not read": func(s pb.TestService_FullDuplexCallServer) error {
			payload := &pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, 1<<20)}}
			for {
				if err := s.Send(payload); err != nil {
					return err
				}
			}
		},
	} {
		virtually(t, name, func(t *testing.T) {
			var log output
			cfg := endlessBudget
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			m := manager(t, cfg)
			var mu sync.Mutex
			var order []string
			happens := func(what string) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, what)
			}
			inside, cancelled := make(chan struct{}), make(chan struct{})
			m.On(shutdown.Close, "db", func(context.Context) error { happens("db closed"); return nil })
			c := serveInMemory(t, newServer(m, service{stream: func(s pb.TestService_FullDuplexCallServer) error {
				close(inside)
				defer happens("handler ended")
				context.AfterFunc(s.Context(), func() { close(cancelled) })
				return handler(s)
			}})).client(t)
			stream, err := c.FullDuplexCall(t.Context())
			require.NoError(t, err)
			within(t, "the stream", inside)

			begun := time.Now()
			err = end(t, m)
			require.ErrorContains(t, err, "shutdown: timed out: 1 task cut off: "+streamName+" (5.6s)")
			requireOnlyConnections(t, err)
			require.Less(t, time.Since(begun), drainEnd)
			within(t, "the end of the context", cancelled)
			require.Equal(t, []string{"handler ended", "db closed"}, order)
			for err = nil; err == nil; {
				_, err = stream.Recv()
			}
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
			waiting := log.lines("waiting")
			require.NotEmpty(t, waiting)
			require.Contains(t, waiting[0], streamName+" (1") // seconds and a little more
		})
	}
}

// requireOnlyConnections fails if a hook has returned an error other than for connections
// that were cut off, which is how a stream blocked in Recv ends.
func requireOnlyConnections(t *testing.T, err error) {
	t.Helper()
	if h := new(shutdown.HookError); errors.As(err, &h) {
		require.ErrorContains(t, h.Err, "1 connection cut off: shutdown: timed out")
	}
}

// This test does not use virtual time, which does not advance while Stop waits for a
// mutex: GracefulStop holds it until the handler returns.
func TestAHandlerThatDoesNotReturnIsAbandonedAndReported(t *testing.T) {
	t.Parallel()
	var log output
	cfg := roomyBudget
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m, g := manager(t, cfg), newGate(t)
	closed := make(chan shutdown.Report, 1)
	m.On(shutdown.Close, "db", func(context.Context) error { closed <- m.Report(); return nil })
	handlerEnded := make(chan struct{})
	c := client(t, start(t, newServer(m, service{stream: func(s pb.TestService_FullDuplexCallServer) error {
		defer close(handlerEnded)
		return g.pass(s.Context())
	}})))
	stream, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	within(t, "the stream", g.entered)

	begun := time.Now()
	err = end(t, m)
	require.Less(t, time.Since(begun), cfg.Timeout+10*time.Second)
	require.ErrorIs(t, err, shutdown.ErrTimeout)
	require.ErrorContains(t, err, "1 task cut off: "+streamName)
	within(t, "Close runs", closed)
	r := m.Report()
	require.Len(t, r.Unfinished, 1)
	require.Equal(t, streamName, r.Unfinished[0].Name)
	require.Equal(t, []string{streamName}, namesOf(r.CutOff))
	require.NotEmpty(t, log.lines("waiting"))
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
	g.Open()
	within(t, "the handler", handlerEnded)
}
