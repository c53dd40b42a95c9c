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

// Options are what a server has to be made with: interceptors, which chain with
// those of other options, in the order of the options. Let them be first: what
// an interceptor before them does, as one of grpc.UnaryInterceptor always is, is
// neither named nor cancelled, and does not know m. Several servers may be made
// with the same options.
//
// Each RPC is in flight as what [shutdown.Manager.Track] counts is, under
// "grpc /pkg.Service/Method", until its handler returns. Its context carries m,
// and ends with [shutdown.Manager.WorkContext]; a handler that then returns the
// context's error, or its cause, is answered Unavailable, for the client to try
// elsewhere, and not Canceled, which would be the client's own doing. An RPC
// that comes after the end of the drain is answered Unavailable.
//
// RPCs that ask about the server itself are not counted, and their streams end
// when Drain begins, with Unavailable: they have no other end, and probes are no
// work. They are those of grpc.health.v1.Health, grpc.reflection.v1.ServerReflection,
// the same of v1alpha, and xds.service.orca.v3.OpenRcaService.
func Options(m *shutdown.Manager) []grpc.ServerOption {
	t := &tracking{m: m, draining: make(chan struct{})}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(t.unary), grpc.ChainStreamInterceptor(t.stream)}
}

// tracking is what the interceptors of a server have in common.
type tracking struct {
	m        *shutdown.Manager
	watch    sync.Once     // registers what closes draining
	draining chan struct{} // closed when Drain begins
}

func (t *tracking) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if t.counted(ctx) || isProbe(info.FullMethod) {
		return handle(ctx, req)
	}
	done, ok := t.m.Track("grpc " + info.FullMethod)
	defer done()
	if !ok {
		return nil, t.unavailable()
	}
	ctx, cancel := t.context(ctx)
	defer cancel()
	resp, err := handle(ctx, req)
	return resp, t.answer(err)
}

func (t *tracking) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if isProbe(info.FullMethod) {
		return t.probe(srv, ss, handle) // under net/http too: httpserver would wait for it
	}
	if t.counted(ss.Context()) {
		return handle(srv, ss)
	}
	done, ok := t.m.Track("grpc " + info.FullMethod)
	defer done()
	if !ok {
		return t.unavailable()
	}
	ctx, cancel := t.context(ss.Context())
	defer cancel()
	return t.answer(handle(srv, streamWith{ss, ctx}))
}

// streamWith is a stream with another context.
type streamWith struct {
	grpc.ServerStream
	ctx context.Context
}

func (s streamWith) Context() context.Context { return s.ctx }

// counted reports whether the RPC is a request of package httpserver, which
// counts and cancels it.
func (t *tracking) counted(ctx context.Context) bool {
	m, ok := shutdown.FromContext(ctx)
	return ok && m == t.m && ctx.Value(http.ServerContextKey) != nil
}

// context returns the context of a handler.
func (t *tracking) context(ctx context.Context) (_ context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(shutdown.NewContext(ctx, t.m))
	work := t.m.WorkContext()
	stop := context.AfterFunc(work, func() { end(context.Cause(work)) })
	return ctx, func() {
		stop()
		end(nil)
	}
}

// answer makes of a handler's error what its client should know: that it was
// the server that had no more time.
func (t *tracking) answer(err error) error {
	work := t.m.WorkContext()
	if err == nil || work.Err() == nil {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(work)) || status.Code(err) == codes.Canceled {
		return t.unavailable()
	}
	return err
}

func (t *tracking) unavailable() error {
	return status.Error(codes.Unavailable, "the server is shutting down")
}
