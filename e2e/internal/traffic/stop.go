package traffic

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// StopUnderLoad stops a service under load, and adds what happened to the row. The service
// has the only address that the clients know. hung adds a request whose handler does not
// return. stop returns when the process has ended, with its exit code.
func StopUnderLoad(ctx context.Context, row *report.Row, host string, hung bool, stop func(context.Context) (code string, err error)) error {
	if err := Await(ctx, host); err != nil {
		return err
	}
	// A service may say that it is ready before it listens; the naive one does.
	for _, port := range []string{HTTPPort, GRPCPort} {
		if err := awaitPort(ctx, net.JoinHostPort(host, port)); err != nil {
			return err
		}
	}
	load, err := Start(ctx, host, false)
	if err != nil {
		return err
	}
	if hung {
		if _, err := Hang(ctx, host); err != nil {
			load.Stop()
			return err
		}
	}
	began := time.Now()
	code, err := stop(ctx)
	row.Gone = append(row.Gone, time.Since(began))
	row.Load.Add(load.Stop())
	row.Exit(code)
	return errors.Join(err, context.Cause(ctx))
}
