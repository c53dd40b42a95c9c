package grpcserver_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// The handlers are like those of gRPC.
func TestStreamsThatAskAboutTheServerDoNotDelayTheDrain(t *testing.T) {
	for kind, handler := range map[string]grpc.StreamHandler{
		"it waits for its context, like those of health and ORCA": func(_ any, s grpc.ServerStream) error {
			<-s.Context().Done()
			return status.Error(codes.Canceled, "Stream has ended.")
		},
		"it is blocked in Recv, like that of reflection": func(_ any, s grpc.ServerStream) error {
			return s.RecvMsg(new(pb.Empty))
		},
	} {
		for name, delays := range map[string]bool{
			"grpc.health.v1.Health":                    false,
			"grpc.reflection.v1.ServerReflection":      false,
			"grpc.reflection.v1alpha.ServerReflection": false,
			"xds.service.orca.v3.OpenRcaService":       false,
			"control.Any":                              true,
			"grpc.health.v1.Healthy":                   true,
		} {
			virtually(t, kind+", "+name, func(t *testing.T) {
				m := manager(t, endlessBudget)
				srv := newServer(m, service{})
				inside := make(chan struct{})
				srv.RegisterService(&grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
					StreamName: "Endless", ServerStreams: true, ClientStreams: true,
					Handler: func(srv any, s grpc.ServerStream) error { close(inside); return handler(srv, s) },
				}}}, struct{}{})
				cc := serveInMemory(t, srv).dial(t)
				stream, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+name+"/Endless")
				require.NoError(t, err)
				within(t, "the stream", inside)
				require.Equal(t, delays, len(m.Tasks()) == 1)

				begun := time.Now()
				err = end(t, m)
				require.Equal(t, codes.Unavailable, status.Code(stream.RecvMsg(new(pb.Empty))))
				if delays {
					require.Greater(t, time.Since(begun), 5*time.Second)
					return
				}
				require.NoError(t, err)
				require.Less(t, time.Since(begun), time.Second)
			})
		}
	}
}

func TestAnOpenReflectionStreamDoesNotDelayTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{})
		srv := newServer(m, service{})
		reflection.Register(srv)
		stream := reflect(t, serveInMemory(t, srv).dial(t))
		begun := time.Now()
		require.NoError(t, end(t, m))
		require.Less(t, time.Since(begun), time.Second)
		_, err := stream.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err))
	})
}

// reflect returns a stream that has been used and is still open.
func reflect(t *testing.T, cc *grpc.ClientConn) reflectionpb.ServerReflection_ServerReflectionInfoClient {
	stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, stream.Send(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
		}))
		answer, err := stream.Recv()
		require.NoError(t, err)
		require.Len(t, answer.GetListServicesResponse().GetService(), 3)
	}
	return stream
}

// A client that is finished closes the stream.
func TestAReflectionStreamThatTheClientClosesEndsWithoutError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{})
		srv := newServer(m, service{})
		reflection.Register(srv)
		stream := reflect(t, serveInMemory(t, srv).dial(t))
		require.NoError(t, stream.CloseSend())
		_, err := stream.Recv()
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, end(t, m))
	})
}

// Any other request would delay the drain until the end of WorkContext.
func TestBehindNetHTTPProbesEndWhenDrainStarts(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	srv := newServer(m, service{})
	healthpb.RegisterHealthServer(srv, health.NewServer())
	reflection.RegisterV1(srv)
	front := &http.Server{Handler: srv, Protocols: new(http.Protocols)}
	front.Protocols.SetUnencryptedHTTP2(true)
	ln := listen(t)
	_, err := httpserver.Serve(m, front, ln)
	require.NoError(t, err)
	cc := dial(t, ln.Addr().String())
	reflection := reflect(t, cc)
	watch, err := healthpb.NewHealthClient(cc).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	require.NoError(t, end(t, m))
	_, err = watch.Recv()
	require.Error(t, err)
	_, err = reflection.Recv()
	require.Error(t, err)
}
