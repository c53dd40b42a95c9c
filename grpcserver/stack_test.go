package grpcserver_test

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
)

// The root package recognizes the goroutines of RPCs by a function whose name ends in
// ".serveTracked".
func TestTheStackOfATrackedRPCHasServeTracked(t *testing.T) {
	t.Parallel()
	stacks := make(chan []string, 1)
	c := client(t, start(t, newServer(manager(t, shutdown.Config{}), service{
		unary:  func(context.Context) error { stacks <- functions(); return nil },
		stream: func(pb.TestService_FullDuplexCallServer) error { stacks <- functions(); return nil },
	})))

	require.NoError(t, call(t, c))
	require.Equal(t, []string{"github.com/gracefulgo/shutdown/grpcserver.unaryHandler.serveTracked"}, serveTracked(within(t, "the stack", stacks)))

	_, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"github.com/gracefulgo/shutdown/grpcserver.streamHandler.serveTracked"}, serveTracked(within(t, "the stack", stacks)))
}

// serveTracked returns the functions whose names end in ".serveTracked".
func serveTracked(functions []string) (found []string) {
	for _, f := range functions {
		if strings.HasSuffix(f, ".serveTracked") {
			found = append(found, f)
		}
	}
	return found
}

// functions returns the names of the functions in the caller's stack.
func functions() (names []string) {
	pcs := make([]uintptr, 100)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		names = append(names, frame.Function)
	}
	return names
}
