package grpcserver

import (
	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown"
)

// Options returns the options that a server has to be made with. They are interceptors,
// which gRPC chains with those of other options, in the order of the options. Put them
// first: what an earlier interceptor does is not in flight and is not cancelled, and it
// does not get m from its context. An interceptor of grpc.UnaryInterceptor or
// grpc.StreamInterceptor is always earlier. Several servers may share the same options.
//
// Each RPC is in flight under the name "grpc /pkg.Service/Method" until its handler
// returns. Its context carries m and ends with [shutdown.Manager.WorkContext]. If the
// handler then returns the error of the context or its cause, the client gets
// Unavailable, which tells it to try another instance, and not Canceled, which would be
// its own doing. An RPC after the end of the drain is answered Unavailable.
//
// RPCs that ask about the server itself are not in flight, and their streams end with
// Unavailable when Drain starts, because they have no end of their own. They are those of
// grpc.health.v1.Health, grpc.reflection.v1.ServerReflection and its v1alpha, and
// xds.service.orca.v3.OpenRcaService.
func Options(m *shutdown.Manager) []grpc.ServerOption {
	i := &interceptors{m: m, draining: make(chan struct{})}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(i.unary), grpc.ChainStreamInterceptor(i.stream)}
}
