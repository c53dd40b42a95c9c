package grpcserver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
)

// This includes a forced end after WorkContext has timed out.
func TestTheErrorOfAForcedEndIsNotATimeout(t *testing.T) {
	for name, before := range map[string]func(*shutdown.Manager){
		"at once":      func(*shutdown.Manager) {},
		"in the drain": func(m *shutdown.Manager) { m.Begin(nil); waitPhase(t, m, shutdown.Drain) },
		"after WorkContext has timed out": func(m *shutdown.Manager) {
			m.Begin(nil)
			<-m.WorkContext().Done()
			require.ErrorIs(t, context.Cause(m.WorkContext()), shutdown.ErrTimeout)
		},
	} {
		virtually(t, name, func(t *testing.T) {
			m, inside := manager(t, endlessBudget), make(chan struct{})
			c := serveInMemory(t, newServer(m, service{stream: func(s pb.TestService_FullDuplexCallServer) error {
				close(inside)
				return receive(s) // virtual time would not advance with a handler that does not return
			}})).client(t)
			_, err := c.FullDuplexCall(t.Context())
			require.NoError(t, err)
			within(t, "the stream", inside)

			ended := wait(m)
			before(m)
			m.Force(nil)
			var hook *shutdown.HookError
			require.ErrorAs(t, within(t, "the end", ended), &hook)
			require.ErrorIs(t, hook, shutdown.ErrForced)
			require.ErrorContains(t, hook, "1 connection cut off: shutdown: forced")
			require.NotContains(t, hook.Error(), "timed out")
		})
	}
}
