package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// roundLimit is how long a service may run before it is killed. A round takes some 0.2 s.
const roundLimit = time.Minute

// A round is one run of a service.
type round struct {
	load.Result
	exit   time.Duration // from the last response to the end of the process
	failed error         // why the service did not exit with status 0
}

// runRound starts the service, shuts it down under load, and returns the result. An error
// means that there is no result.
func runRound(ctx context.Context, service string, mode load.Mode, clients int) (round, error) {
	ctx, kill := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("killed: it was still running after %v", roundLimit))
	defer kill()
	child, addr, err := startService(ctx, service)
	if err != nil {
		return round{}, err
	}
	serving, gone := context.WithCancel(context.Background())
	run := load.Clients{Mode: mode, N: clients, Addr: addr}.Start(serving)

	err = run.Warm(ctx, 3)
	if err == nil {
		time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond))
		err = child.Process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		kill()
	}
	failed := child.Wait()
	exited := time.Now()
	// A client whose SYN was dropped at the end would wait one second until the kernel
	// repeats it, and then be refused.
	gone()
	result := run.Wait()
	if err != nil {
		return round{}, errors.Join(err, failed)
	}
	return round{Result: result, exit: max(0, exited.Sub(result.LastReply)), failed: failed}, nil
}
