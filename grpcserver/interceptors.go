package grpcserver

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
)

// interceptors track the RPCs of a server.
type interceptors struct {
	m        *shutdown.Manager
	watch    sync.Once     // registers the hook that closes draining
	draining chan struct{} // closed when Drain starts
}

func (i *interceptors) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if i.isHTTPRequest(ctx) || isProbe(info.FullMethod) {
		return handle(ctx, req)
	}
	done, ok := i.track(info.FullMethod)
	defer done()
	if !ok {
		return nil, errUnavailable
	}
	ctx, cancel := i.context(ctx)
	defer cancel()
	resp, err := unaryHandler(handle).serveTracked(ctx, req)
	return resp, i.clientError(err)
}

func (i *interceptors) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if isProbe(info.FullMethod) {
		return i.probe(srv, ss, handle) // under net/http too, or httpserver would wait for it
	}
	if i.isHTTPRequest(ss.Context()) {
		return handle(srv, ss)
	}
	done, ok := i.track(info.FullMethod)
	defer done()
	if !ok {
		return errUnavailable
	}
	ctx, cancel := i.context(ss.Context())
	defer cancel()
	return i.clientError(streamHandler(handle).serveTracked(srv, streamWithContext{ss, ctx}))
}

// kind is that of RPCs in [shutdown.Task] and [shutdown.Traffic].
const kind = "grpc"

func (i *interceptors) track(method string) (done func(), ok bool) {
	if i.m.Phase() != shutdown.Running {
		i.m.AddTraffic(shutdown.Traffic{Kind: kind, RequestsWhileLeaving: 1})
	}
	return i.m.TrackAs(kind, "grpc "+method)
}

// The handlers of RPCs in flight are called by methods named serveTracked. The root
// package recognizes the stacks of RPCs by that name.
type (
	unaryHandler  grpc.UnaryHandler
	streamHandler grpc.StreamHandler
)

func (h unaryHandler) serveTracked(ctx context.Context, req any) (any, error) { return h(ctx, req) }

func (h streamHandler) serveTracked(srv any, ss grpc.ServerStream) error { return h(srv, ss) }

// streamWithContext is a stream with another context.
type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s streamWithContext) Context() context.Context { return s.ctx }

// isHTTPRequest reports whether the RPC is a request of package httpserver, which tracks
// and cancels it.
func (i *interceptors) isHTTPRequest(ctx context.Context) bool {
	m, ok := shutdown.FromContext(ctx)
	return ok && m == i.m && ctx.Value(http.ServerContextKey) != nil
}

// context returns the context for a handler.
func (i *interceptors) context(ctx context.Context) (_ context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(shutdown.NewContext(ctx, i.m))
	work := i.m.WorkContext()
	stop := context.AfterFunc(work, func() { end(context.Cause(work)) })
	return ctx, func() {
		stop()
		end(nil)
	}
}

// clientError returns the error for the client: Unavailable if the handler has returned
// err because the shutdown has cancelled it.
func (i *interceptors) clientError(err error) error {
	work := i.m.WorkContext()
	if err == nil || work.Err() == nil {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(work)) || status.Code(err) == codes.Canceled {
		return errUnavailable
	}
	return err
}

var errUnavailable = status.Error(codes.Unavailable, "the server is shutting down")
