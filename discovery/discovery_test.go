package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
)

func TestRegisterRegistersAtOnceAndDeregistersBeforeDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: time.Second})
		r := &registry{}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))
		require.True(t, r.has("orders-1"))
		atDrain := true
		m.On(shutdown.Drain, "port", func(context.Context) error {
			atDrain = r.has("orders-1")
			return nil
		})

		begin := time.Now()
		m.Begin(nil)
		require.NoError(t, m.Wait())

		require.False(t, atDrain)
		require.Equal(t, []time.Duration{0}, r.times("deregister", begin))
		require.Equal(t, "discovery_test.registry orders-1", step(t, m).Name)
	})
}

func TestAFailedRegistrationIsRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{})
		r := &registry{register: func(_ context.Context, add func()) error {
			add() // the reply was lost
			return errRefused
		}}

		err := discovery.Register(t.Context(), m, r, instance{"orders-1"})

		require.ErrorIs(t, err, errRefused)
		require.EqualError(t, err, "discovery: register discovery_test.registry orders-1: connection refused")
		require.False(t, r.has("orders-1"))
		require.Empty(t, m.Report().Pending, "the hook is removed")
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Equal(t, 1, r.count("deregister"))
	})
}

func TestAFailedRollbackIsReportedAndDoesNotDelayTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		errDown := errors.New("no leader")
		r := &registry{
			register:   func(context.Context, func()) error { return errRefused },
			deregister: func(context.Context, int, func()) error { return errDown },
		}

		start := time.Now()
		err := discovery.Register(t.Context(), m, r, instance{"orders-1"})

		require.ErrorIs(t, err, errRefused)
		require.ErrorIs(t, err, errDown)
		require.Equal(t, 2*time.Second, time.Since(start))
		start = time.Now()
		m.Begin(err)
		require.ErrorIs(t, m.Wait(), errRefused)
		require.Zero(t, time.Since(start), "a program that could not start exits at once")
	})
}

func TestAPanicInRegisterIsAnErrorAndIsRolledBack(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	r := &registry{register: func(_ context.Context, add func()) error {
		add()
		panic(errRefused)
	}}

	err := discovery.Register(t.Context(), m, r, instance{"orders-1"})

	require.ErrorIs(t, err, errRefused)
	require.ErrorContains(t, err, "panic: connection refused")
	require.ErrorContains(t, err, "discovery_test.go", "the stack")
	require.False(t, r.has("orders-1"))
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

func TestALongErrorOfARegistryIsTruncated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := strings.Repeat("x", 100<<10)
		refuses := fmt.Errorf("%s: %w", page, errRefused)
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{
			register:   func(context.Context, func()) error { panic(refuses) },
			deregister: func(context.Context, int, func()) error { return refuses },
		}
		err := discovery.Register(t.Context(), m, r, instance{"orders-1"})
		require.ErrorIs(t, err, errRefused)
		require.ErrorContains(t, err, "discovery: register discovery_test.registry orders-1: panic: xxx")
		require.ErrorContains(t, err, "discovery: roll back discovery_test.registry orders-1: discovery: deregister, attempt ")
		require.Less(t, len(err.Error()), 5<<10)

		r = &registry{deregister: func(context.Context, int, func()) error { return refuses }}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-2"}))
		m.Begin(nil)
		err = m.Wait()
		require.ErrorIs(t, err, errRefused)
		require.Less(t, len(err.Error()), 3<<10)
	})
}

func TestARegistrationThatCallsGoexitIsAnErrorAndIsDeregisteredInLeave(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	r := &registry{register: func(_ context.Context, add func()) error {
		add()
		runtime.Goexit()
		return nil
	}}

	require.ErrorContains(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}), "runtime.Goexit was called")

	m.Begin(nil)
	require.NoError(t, m.Wait())
	require.False(t, r.has("orders-1"))
}

func TestTheContextLimitsTheRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{})
		r := &registry{register: func(ctx context.Context, add func()) error {
			<-ctx.Done()
			add()
			return context.Cause(ctx)
		}}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errRefused)
		defer cancel()

		start := time.Now()
		require.ErrorIs(t, discovery.Register(ctx, m, r, instance{"orders-1"}), errRefused)

		require.Equal(t, time.Second, time.Since(start))
		require.False(t, r.has("orders-1"))
		require.Empty(t, m.Report().Pending)
	})
}

func TestAContextThatHasEndedRegistersNothing(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	r := &registry{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errRefused)

	err := discovery.Register(ctx, m, r, instance{"orders-1"})

	require.EqualError(t, err, "discovery: register discovery_test.registry orders-1: connection refused")
	require.Zero(t, r.count("register"))
	require.Zero(t, r.count("deregister"))
	require.Empty(t, m.Report().Pending)
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

// A Registrar may dereference the instance without a check.
func TestANilInstanceIsAnError(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	err := discovery.Register(t.Context(), m, pointers{}, nil)
	require.ErrorContains(t, err, "discovery: register discovery_test.pointers <nil>: panic: ")
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

type pointers struct{}

func (pointers) Register(_ context.Context, i *instance) error   { return errors.New(i.id) }
func (pointers) Deregister(_ context.Context, i *instance) error { return errors.New(i.id) }

func TestARegistrationThatIgnoresItsContextIsAbandonedAndRolledBackWhenItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{})
		r := &registry{register: func(_ context.Context, add func()) error {
			time.Sleep(10 * time.Second)
			add()
			return nil
		}}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errRefused)
		defer cancel()

		start := time.Now()
		err := discovery.Register(ctx, m, r, instance{"orders-1"})

		require.ErrorIs(t, err, errRefused)
		require.ErrorContains(t, err, "the Registrar ignores its context, and is rolled back when it returns")
		require.Equal(t, 2*time.Second, time.Since(start))
		require.NotEmpty(t, m.Report().Pending, "a shutdown would wait for it")
		time.Sleep(9 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, r.count("deregister"))
		require.False(t, r.has("orders-1"))
		require.Empty(t, m.Report().Pending)
	})
}

func TestNothingIsRegisteredAfterTheShutdownHasBegun(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	r := &registry{}
	m.Begin(errRefused)

	err := discovery.Register(t.Context(), m, r, instance{"orders-1"})

	require.ErrorIs(t, err, errRefused, "the cause of the shutdown")
	require.ErrorContains(t, err, "the shutdown has begun")
	require.Error(t, m.Wait())
	require.Zero(t, r.count("register"))
	require.ErrorContains(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}), "the shutdown has begun", "also after Wait has returned")
}

func TestANilRegistrarIsAnError(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	require.EqualError(t, discovery.Register[instance](t.Context(), m, nil, instance{}), "discovery: register: the Registrar is nil")
}
