package systemd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/systemd"
)

// newManager returns a Manager that catches no signals. Its shutdown has ended when the test
// ends.
func newManager(t testing.TB, cfg shutdown.Config) *shutdown.Manager {
	t.Helper()
	cfg.Signals, cfg.Logger = shutdown.NoSignals(), slog.New(slog.DiscardHandler)
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		m.Force(nil)
		_ = m.Wait()
	})
	return m
}

// A manager is systemd as a service sees it: it gets messages. The zero value gets all.
type manager struct {
	mu       sync.Mutex // protects what follows
	messages []message
	err      error // of the next messages
}

type message struct {
	at    time.Time
	whole string
	vars  map[string]string
}

func (m *manager) get(state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	msg := message{time.Now(), state, make(map[string]string)}
	for line := range strings.SplitSeq(state, "\n") {
		key, value, _ := strings.Cut(line, "=")
		msg.vars[key] = value
	}
	m.messages = append(m.messages, msg)
	return nil
}

func (m *manager) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// all waits until nothing happens and returns the messages so far. It is for a bubble.
func (m *manager) all() []message {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.messages
}

// of returns the values of a variable, in the order of the messages.
func of(messages []message, key string) (values []string) {
	for _, m := range messages {
		if v, ok := m.vars[key]; ok {
			values = append(values, v)
		}
	}
	return values
}

func TestReadyIsSentWhenWaitHasBeenCalledAndReadyAgrees(t *testing.T) {
	for name, test := range map[string]struct {
		ready func(context.Context) error
		after time.Duration
	}{
		"without a check":    {nil, 0},
		"a check that fails": {readyAfter(3*time.Second, "connection refused"), 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s manager
				m := newManager(t, shutdown.Config{})
				systemd.NotifyWith(m, test.ready, s.get)
				time.Sleep(time.Minute)
				require.Empty(t, s.all(), "main has not started everything")

				waited := time.Now()
				go func() { _ = m.Wait() }()
				time.Sleep(time.Minute)
				got := s.all()
				require.Equal(t, []string{"1"}, of(got, "READY"), "once")
				last := got[len(got)-1]
				require.Equal(t, "1", last.vars["READY"])
				require.Equal(t, "ready", last.vars["STATUS"])
				require.GreaterOrEqual(t, last.at.Sub(waited), test.after)
				require.LessOrEqual(t, last.at.Sub(waited), test.after+200*time.Millisecond)
				if test.after > 0 {
					require.Equal(t, []string{"not ready: connection refused", "ready"}, of(got, "STATUS"))
				}
			})
		})
	}
}

// untilBegun is ready when the shutdown begins.
func untilBegun(ctx context.Context) error {
	m, _ := shutdown.FromContext(ctx)
	<-m.AcceptContext().Done()
	return nil
}

// readyAfter is ready when d has passed since its first call.
func readyAfter(d time.Duration, text string) func(context.Context) error {
	var first time.Time
	return func(context.Context) error {
		if first.IsZero() {
			first = time.Now()
		}
		if time.Since(first) < d {
			return errors.New(text)
		}
		return nil
	}
}

func TestTheContextOfReadyCarriesTheManagerAndEndsAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s manager
		m := newManager(t, shutdown.Config{})
		calls := 0
		systemd.NotifyWith(m, func(ctx context.Context) error {
			if calls++; calls > 1 {
				return nil
			}
			carried, ok := shutdown.FromContext(ctx)
			require.True(t, ok)
			require.Same(t, m, carried)
			began := time.Now()
			<-ctx.Done()
			require.Equal(t, 5*time.Second, time.Since(began))
			return context.Cause(ctx)
		}, s.get)
		go func() { _ = m.Wait() }()
		time.Sleep(time.Minute)
		require.Equal(t, []string{"not ready: ready has not returned within 5s", "ready"}, of(s.all(), "STATUS"))
	})
}

func TestAReadyThatPanicsIsNotReady(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		var s manager
		m := newManager(t, shutdown.Config{})
		calls := 0
		systemd.NotifyWith(m, func(context.Context) error {
			if calls++; calls == 1 {
				panic("no database")
			}
			return nil
		}, s.get)
		go func() { _ = m.Wait() }()
		time.Sleep(time.Second)
		require.Equal(t, []string{"not ready: panic: no database", "ready"}, of(s.all(), "STATUS"))
	})
	require.Contains(t, log.String(), `panic="no database"`)
}

func TestReadyIsRepeatedUntilItIsSent(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		var s manager
		s.fail(errors.New("the queue is full"))
		m := newManager(t, shutdown.Config{})
		systemd.NotifyWith(m, nil, s.get)
		go func() { _ = m.Wait() }()
		time.Sleep(time.Minute)
		require.Empty(t, s.all())
		s.fail(nil)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"1"}, of(s.all(), "READY"))
	})
	require.Equal(t, 1, strings.Count(log.String(), "the queue is full"), "only the first error is logged")
}

// READY=1 would make systemctl start succeed, so it must not come once the shutdown has begun.
func TestAShutdownThatBeginsBeforeReadyIsStopping(t *testing.T) {
	var hangs chan struct{}
	for name, test := range map[string]struct {
		ready   func(context.Context) error
		waits   bool // main has called Wait
		mayBeUp bool // ready agrees at the time of Begin
	}{
		"ready fails":                       {func(context.Context) error { return errors.New("no") }, true, false},
		"ready returns nil when told to":    {untilBegun, true, false},
		"ready ignores its context":         {func(context.Context) error { <-hangs; return nil }, true, false},
		"ready agrees, but main is not yet": {nil, false, false},
		"ready agrees in the same moment":   {nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 50 { // the select statements choose at random
				synctest.Test(t, func(t *testing.T) {
					hangs = make(chan struct{})
					ready := test.ready
					if test.mayBeUp {
						ready = readyAfter(time.Minute, "no")
					}
					var s manager
					m := newManager(t, shutdown.Config{})
					systemd.NotifyWith(m, ready, s.get)
					if test.waits {
						go func() { _ = m.Wait() }()
					}
					time.Sleep(time.Minute)
					m.Begin(nil)
					got := s.all()
					require.Equal(t, []string{"1"}, of(got, "STOPPING"), "at once")
					if !test.mayBeUp {
						require.Empty(t, of(got, "READY"))
					}
					close(hangs)
					_ = m.Wait()
					time.Sleep(time.Minute)
					require.Len(t, s.all(), len(got), "nothing after STOPPING=1")
				})
			}
		})
	}
}

func TestDuringTheShutdownTheStatusSaysEachSecondWhatIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s manager
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: 1500 * time.Millisecond})
		systemd.NotifyWith(m, nil, s.get)
		go func() { _ = m.Wait() }()
		synctest.Wait()
		for range 10 {
			done, ok := m.Track("GET /orders/{id}")
			require.True(t, ok)
			time.AfterFunc(4500*time.Millisecond, done)
		}
		m.On(shutdown.Close, "db", func(context.Context) error { time.Sleep(3 * time.Second); return nil })
		begun := time.Now()
		m.Begin(nil)
		_ = m.Wait()
		time.Sleep(time.Minute)
		got := s.all()[1:]
		var lines []string
		for _, msg := range got {
			lines = append(lines, fmt.Sprintf("%.1fs %s", msg.at.Sub(begun).Seconds(), msg.vars["STATUS"]))
		}
		require.Equal(t, []string{
			"0.0s in leave, 0s of 27s, waiting for the end of the lame duck",
			"1.0s in leave, 1s of 27s, waiting for the end of the lame duck",
			"2.0s in drain, 2s of 27s, waiting for 10 x GET /orders/{id} (oldest 2s)",
			"3.0s in drain, 3s of 27s, waiting for 10 x GET /orders/{id} (oldest 3s)",
			"4.0s in drain, 4s of 27s, waiting for 10 x GET /orders/{id} (oldest 4s)",
			"5.0s in close, 5s of 27s, waiting for close hook db (500ms)",
			"6.0s in close, 6s of 27s, waiting for close hook db (1.5s)",
			"7.0s in close, 7s of 27s, waiting for close hook db (2.5s)",
		}, lines)
		require.Equal(t, "1", got[0].vars["STOPPING"])
		require.Len(t, of(got, "STOPPING"), 1)
	})
}

// systemd kills at the latest end that a message has named, or after TimeoutStopSec.
func TestTheExtensionsNameOneEndThatIsAfterTheTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  shutdown.Config
		want time.Duration // after the beginning
	}{
		"a long timeout":        {shutdown.Config{GracePeriod: 10 * time.Minute}, 10 * time.Minute},        // 9:55 and 5 s
		"a short one":           {shutdown.Config{GracePeriod: 5 * time.Second}, 4950 * time.Millisecond},  // 4.5 s and 0.45 s
		"forced":                {shutdown.Config{GracePeriod: 10 * time.Second}, 9900 * time.Millisecond}, // 9 s and 0.9 s
		"a timeout alone":       {shutdown.Config{Timeout: 20 * time.Second}, 22 * time.Second},            // the grace period is a guess
		"a margin of one's own": {shutdown.Config{GracePeriod: 90 * time.Second, Timeout: 20 * time.Second}, 22 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s manager
				m := newManager(t, test.cfg)
				systemd.NotifyWith(m, nil, s.get)
				m.On(shutdown.Drain, "hangs", func(context.Context) error { time.Sleep(time.Hour); return nil })
				begun := time.Now()
				m.Begin(nil)
				if name == "forced" {
					m.Force(nil)
				}
				_ = m.Wait()
				ended := time.Now()
				time.Sleep(2 * time.Hour)
				var last time.Time
				ends := 0
				for _, msg := range s.all() {
					last = msg.at
					text, ok := msg.vars["EXTEND_TIMEOUT_USEC"]
					if !ok {
						continue
					}
					usec, err := strconv.ParseInt(text, 10, 64)
					require.NoError(t, err)
					end := msg.at.Add(time.Duration(usec) * time.Microsecond)
					require.WithinDuration(t, begun.Add(test.want), end, time.Microsecond)
					ends++
				}
				require.Positive(t, ends)
				require.False(t, last.After(ended), "no message after the end of the shutdown")
			})
		})
	}
}

func TestTextsOfTheProgramCannotAddAssignments(t *testing.T) {
	const evil = "x\nMAINPID=1\r\xff\u202e"
	synctest.Test(t, func(t *testing.T) {
		var s manager
		m := newManager(t, shutdown.Config{})
		systemd.NotifyWith(m, readyAfter(time.Second, evil), s.get)
		go func() { _ = m.Wait() }()
		time.Sleep(time.Minute)
		done, _ := m.Track(evil)
		m.On(shutdown.Leave, evil, func(context.Context) error { time.Sleep(3 * time.Second); return nil })
		m.Begin(errors.New(evil))
		time.Sleep(5 * time.Second)
		done()
		_ = m.Wait()
		got := s.all()
		require.Empty(t, of(got, "MAINPID"))
		require.Contains(t, of(got, "STATUS")[0], "not ready: x MAINPID=1 \uFFFD")
		for _, msg := range got {
			require.True(t, utf8.ValidString(msg.whole))
			require.NotContains(t, msg.whole, "\u202e")
		}
	})
}

// systemd ignores a message of more than 4096 bytes.
func TestMessagesAreShort(t *testing.T) {
	long := strings.Repeat("ä", 10000)
	synctest.Test(t, func(t *testing.T) {
		var s manager
		m := newManager(t, shutdown.Config{})
		systemd.NotifyWith(m, readyAfter(time.Second, long), s.get)
		go func() { _ = m.Wait() }()
		time.Sleep(time.Minute)
		for i := range 1000 {
			done, _ := m.Track(fmt.Sprint(i%100, long))
			time.AfterFunc(5*time.Second, done)
		}
		m.Begin(nil)
		_ = m.Wait()
		got := s.all()
		require.Contains(t, got[1].vars["STATUS"], "ready")
		for _, msg := range got {
			require.Less(t, len(msg.whole), 2000)
			require.True(t, utf8.ValidString(msg.whole))
		}
		require.Contains(t, of(got, "STATUS")[3], "... (oldest 1s), ")
		require.Contains(t, of(got, "STATUS")[3], " and 950 more")
	})
}

// If main hangs after such a shutdown, only STOPPING=1 makes systemd kill it.
func TestAShutdownThatEndsAtOnceIsStopping(t *testing.T) {
	for name, test := range map[string]func(m *shutdown.Manager, notify func()){
		"Notify before": func(m *shutdown.Manager, notify func()) { notify(); m.Begin(nil); _ = m.Wait() },
		"Notify after":  func(m *shutdown.Manager, notify func()) { m.Begin(nil); _ = m.Wait(); notify() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s manager
				m := newManager(t, shutdown.Config{})
				test(m, func() { systemd.NotifyWith(m, nil, s.get) })
				time.Sleep(time.Minute)
				require.Equal(t, []string{"1"}, of(s.all(), "STOPPING"))
				require.Len(t, s.all(), 1)
			})
		})
	}
}
