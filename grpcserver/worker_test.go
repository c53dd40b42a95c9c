package grpcserver_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
)

// The worker is a gRPC client. The documentation of Manager.Go has the line that it needs.
func TestAWorkerThatReturnsTheStatusCanceled(t *testing.T) {
	unchanged := func(_ context.Context, err error) error { return err }
	withTheLine := func(ctx context.Context, err error) error {
		if status.Code(err) == codes.Canceled && ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	theServer := func(context.Context) error { return status.Error(codes.Canceled, "by the server") }
	for name, test := range map[string]struct {
		returns func(ctx context.Context, err error) error
		answer  func(context.Context) error // nil means no answer until the client cancels
		want    string                      // of Wait; "" for nil
	}{
		"unchanged":                                   {unchanged, nil, `shutdown: worker "consumer": rpc error: code = Canceled desc = context canceled`},
		"with the line of the documentation":          {withTheLine, nil, ""},
		"with the line, but the server has cancelled": {withTheLine, theServer, `shutdown: worker "consumer": rpc error: code = Canceled desc = by the server`},
	} {
		virtually(t, name, func(t *testing.T) {
			backend := newTrial(t, manager(t, shutdown.Config{}))
			backend.handle = func(ctx context.Context) error {
				if test.answer != nil {
					return test.answer(ctx)
				}
				<-ctx.Done()
				return ctx.Err()
			}
			c := serveInMemory(t, backend.server()).client(t)
			var log output
			cfg := endlessBudget
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			m := manager(t, cfg)
			m.Go("consumer", func(ctx context.Context) error {
				_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
				require.Equal(t, codes.Canceled, status.Code(err))
				return test.returns(ctx, err)
			})
			within(t, "the call", backend.began)
			synctest.Wait()
			err := end(t, m)
			if test.want == "" {
				requireOutcome(t, m, &log, err, ownEnd, nil)
				require.Len(t, log.lines(`level=INFO msg="shutdown: worker stopped" worker=consumer error="context canceled"`), 1)
				return
			}
			require.EqualError(t, err, test.want)
			require.Equal(t, 1, shutdown.ExitCode(err))
			require.Empty(t, m.Report().CutOff)
			require.Contains(t, log.last(), `level=ERROR msg="shutdown: finished with errors" `)
			h := new(shutdown.HookError)
			require.ErrorAs(t, err, &h)
			require.Equal(t, shutdown.Running, h.Phase)
		})
	}
}
