package grpcserver

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
)

// isProbe reports whether a method asks about the server itself. Handlers of
// these services come with gRPC, and know nothing of a shutdown.
func isProbe(method string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch service {
	case "grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
		"xds.service.orca.v3.OpenRcaService":
		return true
	}
	return false
}

// probe is a stream that ends when Drain begins.
func (t *tracking) probe(srv any, ss grpc.ServerStream, handle grpc.StreamHandler) error {
	t.watch.Do(func() {
		t.m.On(shutdown.Drain, "grpc probes", func(context.Context) error {
			close(t.draining)
			return nil
		})
	})
	ctx, cancel := context.WithCancel(ss.Context())
	ended := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-t.draining:
			cancel()
		case <-ended:
		}
	})
	defer func() { close(ended); waiter.Wait(); cancel() }()
	err := handle(srv, probeStream{streamWith{ss, ctx}})
	select {
	case <-t.draining:
		if status.Code(err) == codes.Canceled {
			return t.unavailable()
		}
	default:
	}
	return err
}

// probeStream is a stream in which Recv looks at the context as well: reflection
// is nowhere else.
type probeStream struct{ streamWith }

func (s probeStream) RecvMsg(m any) error {
	received := make(chan error, 1)
	// Nobody can wait for this goroutine if the context is the first: it ends with
	// the stream, shortly after the handler, which has no use for m any more.
	go func() { received <- s.ServerStream.RecvMsg(m) }()
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}
