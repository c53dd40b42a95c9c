package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/discovery"
)

// A lease is an entry of a registry in memory. Its functions are those that a
// Registrar passes to a KeepAlive.
type lease struct {
	discovery.KeepAlive
	log     bytes.Buffer
	started time.Time

	mu        sync.Mutex // protects what follows
	ttl       time.Duration
	registers func(context.Context) error                  // nil succeeds
	renews    func(context.Context) (lost bool, err error) // nil succeeds
	calls     []string                                     // with the time since started
	exists    bool
}

func newLease() *lease {
	l := &lease{ttl: 9 * time.Second, started: time.Now()}
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l.Logger = slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	return l
}

func (l *lease) change(by func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	by()
}

func (l *lease) call(what string) {
	l.change(func() { l.calls = append(l.calls, what+" "+time.Since(l.started).String()) })
}

func (l *lease) start(ctx context.Context) error { return l.Register(ctx, l.register, l.renew) }

func (l *lease) stop(ctx context.Context) error {
	return l.Deregister(ctx, func(context.Context) error {
		l.call("deregister")
		l.change(func() { l.exists = false })
		return nil
	})
}

func (l *lease) register(ctx context.Context) (ttl time.Duration, err error) {
	l.call("register")
	f := func(context.Context) error { return nil }
	l.change(func() {
		if l.registers != nil {
			f = l.registers
		}
	})
	if err := f(ctx); err != nil {
		return 0, err
	}
	l.change(func() { l.exists, ttl = true, l.ttl })
	return ttl, nil
}

func (l *lease) renew(ctx context.Context) (bool, error) {
	l.call("renew")
	f := func(context.Context) (bool, error) { return false, nil }
	l.change(func() {
		if l.renews != nil {
			f = l.renews
		}
	})
	return f(ctx)
}

// lose has the registry forget the entry.
func (l *lease) lose() {
	l.change(func() {
		l.exists = false
		l.renews = func(context.Context) (bool, error) {
			l.change(func() { l.renews = nil })
			return true, nil
		}
	})
}

// found reports whether the entry exists.
func (l *lease) found() (there bool) {
	l.change(func() { there = l.exists })
	return there
}

// lines returns the log.
func (l *lease) lines() []string {
	return strings.FieldsFunc(l.log.String(), func(r rune) bool { return r == '\n' })
}

func TestKeepAliveRenewsAfterEachThirdOfTheTTLUntilDeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		require.NoError(t, l.start(t.Context()))
		time.Sleep(7 * time.Second)

		require.NoError(t, l.stop(t.Context()))

		time.Sleep(time.Hour)
		require.Equal(t, []string{"register 0s", "renew 3s", "renew 6s", "deregister 7s"}, l.calls)
		require.Empty(t, l.lines())
	})
}

func TestKeepAliveRegistersAgainWhenTheEntryIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		require.NoError(t, l.start(t.Context()))
		l.lose()
		l.change(func() { l.ttl = 30 * time.Second })
		time.Sleep(14 * time.Second)
		require.True(t, l.found())
		require.NoError(t, l.stop(t.Context()))

		require.Equal(t, []string{"register 0s", "renew 3s", "register 3s", "renew 13s", "deregister 14s"}, l.calls, "with the new TTL")
		require.Equal(t, []string{`level=WARN msg="discovery: entry lost, registering again"`}, l.lines())
	})
}

// A registration may create the lease and not the entry. Then renewing the lease
// succeeds, and does not help.
func TestKeepAliveRegistersUntilThatSucceedsWhenTheEntryIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		require.NoError(t, l.start(t.Context()))
		l.lose()
		l.change(func() { l.registers = func(context.Context) error { return errRefused } })
		time.Sleep(4500 * time.Millisecond)
		l.change(func() { l.registers = nil })
		time.Sleep(2 * time.Second)
		require.True(t, l.found())
		require.NoError(t, l.stop(t.Context()))

		require.Equal(t, []string{"register 0s", "renew 3s", "register 3s", "register 4s", "register 5s", "deregister 6.5s"}, l.calls)
		require.Equal(t, []string{
			`level=WARN msg="discovery: entry lost, registering again"`,
			`level=WARN msg="discovery: entry not renewed" error="connection refused"`,
			`level=INFO msg="discovery: entry renewed again"`,
		}, l.lines())
	})
}

func TestKeepAliveRetriesAFailedRenewalSoonAndLogsOnlyChanges(t *testing.T) {
	for name, test := range map[string]struct {
		ttl  time.Duration
		want []string
	}{
		"after 1 s":              {9 * time.Second, []string{"register 0s", "renew 3s", "renew 4s", "renew 5s", "renew 8s", "deregister 8.5s"}},
		"after a sixth of a TTL": {3 * time.Second, []string{"register 0s", "renew 1s", "renew 1.5s", "renew 2s", "renew 3s", "renew 4s", "renew 5s", "renew 6s", "renew 7s", "renew 8s", "deregister 8.5s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLease()
				l.ttl = test.ttl
				failures := 2
				l.renews = func(context.Context) (bool, error) {
					if failures == 0 {
						return false, nil
					}
					failures--
					return false, errRefused
				}
				require.NoError(t, l.start(t.Context()))
				time.Sleep(8500 * time.Millisecond)
				require.NoError(t, l.stop(t.Context()))

				require.Equal(t, test.want, l.calls)
				require.Equal(t, []string{
					`level=WARN msg="discovery: entry not renewed" error="connection refused"`,
					`level=INFO msg="discovery: entry renewed again"`,
				}, l.lines())
			})
		})
	}
}

func TestKeepAliveCutsALongErrorInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		l.renews = func(context.Context) (bool, error) { return false, errors.New(strings.Repeat("x", 100<<10)) }
		require.NoError(t, l.start(t.Context()))
		time.Sleep(4 * time.Second)
		require.NoError(t, l.stop(t.Context()))

		lines := l.lines()
		require.Len(t, lines, 1)
		require.Less(t, len(lines[0]), 3<<10)
		require.Contains(t, lines[0], "(cut)")
	})
}

func TestKeepAliveCancelsARenewalAndWaitsForItBeforeItDeregisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		l.renews = func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			l.call("renewed")
			return true, nil // too late to register again
		}
		require.NoError(t, l.start(t.Context()))
		time.Sleep(5 * time.Second)

		require.NoError(t, l.stop(t.Context()))

		time.Sleep(time.Hour)
		require.Equal(t, []string{"register 0s", "renew 3s", "renewed 6s", "deregister 6s"}, l.calls)
		require.Empty(t, l.lines())
	})
}

func TestKeepAliveLimitsTheTimeOfACall(t *testing.T) {
	for name, test := range map[string]struct {
		ttl  time.Duration
		lost bool
		want []string
	}{
		"renew, to the TTL":            {9 * time.Second, false, []string{"register 0s", "renew 3s", "cancelled 12s", "deregister 12.5s"}},
		"renew, to 1 s":                {600 * time.Millisecond, false, []string{"register 0s", "renew 200ms", "cancelled 1.2s", "deregister 1.25s"}},
		"a later register, to the TTL": {9 * time.Second, true, []string{"register 0s", "renew 3s", "register 3s", "cancelled 12s", "deregister 12.5s"}},
		"a later register, to 5 s":     {3 * time.Second, true, []string{"register 0s", "renew 1s", "register 1s", "cancelled 6s", "deregister 6.4s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLease()
				l.ttl = test.ttl
				require.NoError(t, l.start(t.Context()))
				hang := func(ctx context.Context) error {
					<-ctx.Done()
					l.call("cancelled")
					return ctx.Err()
				}
				l.change(func() {
					l.registers = hang
					l.renews = func(ctx context.Context) (bool, error) {
						if test.lost {
							return true, nil
						}
						return false, hang(ctx)
					}
				})
				end, err := time.ParseDuration(strings.TrimPrefix(test.want[len(test.want)-1], "deregister "))
				require.NoError(t, err)
				time.Sleep(end)
				require.NoError(t, l.stop(t.Context()))

				require.Equal(t, test.want, l.calls)
			})
		})
	}
}

func TestKeepAliveWaitsForAReRegistrationBeforeItDeregisters(t *testing.T) {
	for name, test := range map[string]struct {
		takes, deadline, want time.Duration
	}{
		"it is finished":              {4 * time.Second, 0, 4 * time.Second},
		"it is cancelled after 5 s":   {time.Hour, 0, 5 * time.Second},
		"or after half of the time":   {time.Hour, 4 * time.Second, 2 * time.Second},
		"it is finished in that time": {time.Second, 4 * time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLease()
				require.NoError(t, l.start(t.Context()))
				l.lose()
				l.change(func() {
					l.registers = func(ctx context.Context) error {
						select {
						case <-time.After(test.takes):
							return nil
						case <-ctx.Done():
							return ctx.Err()
						}
					}
				})
				time.Sleep(3 * time.Second)
				synctest.Wait()
				ctx := t.Context()
				if test.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}

				start := time.Now()
				require.NoError(t, l.stop(ctx))

				require.Equal(t, test.want, time.Since(start))
				require.False(t, l.found())
				time.Sleep(time.Hour)
				require.False(t, l.found())
			})
		})
	}
}

func TestKeepAliveDoesNotDeregisterWhileAReRegistrationHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		require.NoError(t, l.start(t.Context()))
		free := make(chan struct{})
		l.lose()
		l.change(func() {
			l.registers = func(context.Context) error {
				<-free
				return nil
			}
		})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errRefused)
		defer cancel()

		err := l.stop(ctx)

		require.EqualError(t, err, "waiting for the renewal to stop: connection refused")
		require.ErrorIs(t, err, errRefused)
		close(free)
		require.NoError(t, l.stop(t.Context()), "it can be tried again")
		require.False(t, l.found())
		time.Sleep(time.Hour)
		require.False(t, l.found())
	})
}

// The select statement chooses at random among channels that are ready.
func TestKeepAliveStopsRenewingAlsoIfDeregisterHasNoTime(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			l := newLease()
			require.NoError(t, l.start(t.Context()))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()

			_ = l.stop(ctx)

			time.Sleep(time.Hour)
			require.NotContains(t, l.calls, "renew 3s")
		})
	}
}

func TestKeepAliveReturnsTheErrorsOfItsFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		l.registers = func(context.Context) error { return errRefused }
		require.Equal(t, errRefused, l.start(t.Context()))
		time.Sleep(time.Hour)
		require.Len(t, l.calls, 1, "it is not renewed")
		l.registers = nil
		require.NoError(t, l.start(t.Context()), "it can be tried again")

		require.EqualError(t, l.start(t.Context()), "it is registered already")
		refuses := func(context.Context) error { return errRefused }
		require.Equal(t, errRefused, l.Deregister(t.Context(), refuses))
		require.NoError(t, l.stop(t.Context()))

		l.ttl = 0
		require.EqualError(t, l.start(t.Context()), "the TTL is 0s, and must be positive")
		require.NoError(t, l.stop(t.Context()))
	})
}

func TestKeepAliveCallsWaitForEachOtherOrForTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease()
		l.registers = func(context.Context) error {
			time.Sleep(10 * time.Second)
			return nil
		}
		go func() { _ = l.start(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errRefused)
		defer cancel()

		require.EqualError(t, l.stop(ctx), "waiting for another call: connection refused")
		require.NoError(t, l.stop(t.Context()))

		require.Equal(t, []string{"register 0s", "deregister 10s"}, l.calls)
	})
}

func TestKeepAliveWithoutALoggerUsesTheDefaultLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		defer slog.SetDefault(before)
		l := newLease()
		l.Logger = nil
		l.renews = func(context.Context) (bool, error) { return false, errRefused }
		require.NoError(t, l.start(t.Context()))
		time.Sleep(4 * time.Second)
		require.NoError(t, l.stop(t.Context()))
		require.Contains(t, log.String(), "discovery: entry not renewed")
	})
}
