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

// isProbe reports whether a method asks about the server itself. gRPC has the handlers
// of these services, which do not know about a shutdown.
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

// probe serves a stream that ends when Drain starts.
func (i *interceptors) probe(srv any, ss grpc.ServerStream, handle grpc.StreamHandler) error {
	i.watch.Do(func() {
		i.m.On(shutdown.Drain, "grpc probes", func(context.Context) error {
			close(i.draining)
			return nil
		})
	})
	ctx, cancel := context.WithCancel(ss.Context())
	ended := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-i.draining:
			cancel()
		case <-ended:
		}
	})
	defer func() { close(ended); waiter.Wait(); cancel() }()
	err := handle(srv, probeStream{streamWithContext{ss, ctx}})
	select {
	case <-i.draining:
		if status.Code(err) == codes.Canceled {
			return errUnavailable
		}
	default:
	}
	return err
}

// probeStream is a stream whose Recv also returns when the context ends: the handler of
// reflection waits nowhere else.
type probeStream struct{ streamWithContext }

func (s probeStream) RecvMsg(m any) error {
	received := make(chan error, 1)
	// If the context ends first, this goroutine cannot be waited for. It ends with the
	// stream, shortly after the handler, which does not use m any more.
	go func() { received <- s.ServerStream.RecvMsg(m) }()
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}
