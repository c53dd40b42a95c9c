// Package grpcserver implements graceful shutdown for gRPC: it finishes the RPCs that
// have been sent, drains the connections, and reports the RPCs that had to be cut off.
//
//	srv := grpcserver.NewServer(m)
//	pb.RegisterChatServer(srv, chat)
//	err := srv.Start(":9090")
//
// [NewServer] makes a grpc.Server with [Options]. [Adopt] is for one that a framework
// has made with them.
//
// # Order of events
//
// In Leave the health service says NOT_SERVING, if it was given to [Health], and the
// server goes on serving. Clients that neither watch the health service nor look at the
// endpoints of their service go on calling until Drain, and all of them reconnect
// when that begins. To spread that, give the server a
// keepalive.ServerParameters.MaxConnectionAge: clients then reconnect one after
// another, at all times, and with an age that is not much longer than the lame duck
// many have moved to other instances when Drain begins.
//
// In Drain:
//
//  1. Streams that ask about the server itself, such as health Watches and reflection,
//     end: they are not work. See [Options].
//  2. When the channels that [Server.DrainAfter] was given are closed, the listener is
//     drained: handshakes that have begun are finished, connections that have
//     completed one are accepted, and all others are refused. See package listener.
//  3. HTTP/2 and TLS handshakes end, and a connection that was made within the last
//     10 s and has had no RPC has time for a first one. When for 250 ms none of these
//     connections has made progress, or after 1 s, one that has not sent a byte is
//     closed, and one that has had no RPC is no longer waited for. A handshake that
//     stops half way is closed after 500 ms. Otherwise a port scan would hold
//     GracefulStop up, and Stop too, for the 120 s of grpc.ConnectionTimeout. These
//     times are counted in wake-ups, so on a machine without CPU to spare they are
//     longer.
//  4. GracefulStop sends a GOAWAY on every connection that is left, and waits for the
//     RPCs in flight.
//  5. Shortly before the end of Drain, with [shutdown.Manager.WorkContext], the
//     contexts of the RPCs are cancelled, and a handler that gives up because of that
//     is answered Unavailable. After half of the time that is left, Stop closes the
//     connections. That ends a handler that is inside of Recv or Send, which do not
//     look at the handler's context; its client sees Unavailable too. Connections that
//     Stop has not closed by the end of Drain, because it waits for a handshake, are
//     closed without it.
//  6. The handlers are waited for, before any Close hook runs. One that still runs at
//     the end of Drain is abandoned and reported by name.
//
// A client that does not answer GracefulStop's PING, because it is frozen or its
// network is gone, is waited for as long as gRPC does, which is 6 s: 5 for the
// PING, and 1 for the client to close.
//
// # Listeners
//
// [Server.Start] listens on a TCP address. [Server.Serve] takes any listener, and a
// server may have several. A Unix socket should come from listener.Listen: its path is
// removed when the drain begins, so that a successor can bind it at once, and every
// connection in its queue is accepted. A bufconn.Listener, or another one without a
// socket, cannot be asked what waits in it; its drain takes until nothing has come
// out of it for 50 ms, or 1 s.
//
// # What is lost
//
// As long as there is time, no RPC that has been sent. What cannot be helped is a
// client that has connected, and is held up on its side for longer than step 3 waits
// before it sends its first RPC. gRPC then tries another connection for it. If there
// is no other server, the RPC is Unavailable, with the error of a client that came a
// moment later and was refused.
//
// # Long streams
//
// A stream that lasts should say good-bye, or it holds the drain up until its
// context ends. Tell the handlers from a hook of their own, which runs when the
// lame duck is over, and let the client end the stream, so that nothing is lost
// that it has said meanwhile; examples/grpc has it in full:
//
//	m.On(shutdown.Drain, "chat room", func(context.Context) error {
//		close(room.closing) // every handler: say good-bye, receive until io.EOF, return
//		return nil
//	})
//
// A handler can ask by itself as well, with [shutdown.FromContext]:
// m.Reached(shutdown.Drain) is closed when Drain begins. m.AcceptContext() ends when
// the shutdown begins; with a lame duck that is early: a client that reconnects at once
// may reach the same instance again.
//
// # Servers that call each other
//
// If the handlers of an HTTP gateway, or of another gRPC server of the same process,
// call this server, it has to drain after theirs, on TCP, a Unix socket or bufconn
// alike:
//
//	srv.DrainAfter(gateway.Drained())
//
// # Behind net/http
//
// A grpc.Server that is called through its ServeHTTP, under package httpserver, is made
// with [NewServer] and needs no Start: httpserver drains it. Each RPC is then a request
// like others, named "POST /pkg.Service/Method", and not counted twice; GOAWAY is
// net/http's, and so is what httpserver says about HTTP/2. At the deadline connections
// are cut off instead of being answered Unavailable. If the same grpc.Server has a port
// of its own too, let it drain after the http.Server ([Server.DrainAfter]):
// GracefulStop cuts off what ServeHTTP has in flight. Without a listener of its own its
// Drained channel is never closed; use that of the http.Server.
//
// # What differs from Serve
//
// The socket's TCP_USER_TIMEOUT is 20 s, gRPC's default, also if
// keepalive.ServerParameters.Timeout says otherwise; that goes for the pings
// alone. MaxConnectionAge and the other limits work as ever.
//
// ServerHandshake of credentials gets a connection that is around the one of the
// listener. Credentials that look for a *net.UnixConn, or for one that the
// listener made, find it with NetConn() net.Conn, a method as *tls.Conn has it.
// It is for looking only: what is read, written and closed has to be the
// connection that they were given.
package grpcserver

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// NewServer makes a grpc.Server with [Options] and then opts, and takes it over
// for m: leave GracefulStop and Stop to that. One that the caller stops all the
// same ends by itself, and begins nothing.
func NewServer(m *shutdown.Manager, opts ...grpc.ServerOption) *Server {
	return Adopt(m, grpc.NewServer(append(Options(m), opts...)...))
}

// Adopt is for a server that somebody else has made, a framework for example. It
// has to be made with [Options], which nobody can check: without them its RPCs are
// neither named nor waited for by name, and end only when their connections are
// closed. A server may be adopted once.
//
// An xds.GRPCServer cannot be adopted: it makes a grpc.Server of its own, which
// serves and stops by what its management server says, and does not give it away.
func Adopt(m *shutdown.Manager, srv *grpc.Server) *Server {
	if srv == nil {
		panic("grpcserver: Adopt: srv is nil")
	}
	return &Server{Server: srv, m: m, stopped: make(chan struct{})}
}

// Start listens on addr and serves until the shutdown has drained the server. It
// returns when the port is open, or with an error if it cannot be; a busy port is
// an error at once. If serving fails later, that begins the shutdown. A server may
// be started on several addresses.
//
// After the shutdown has begun, Start returns an error and listens on nothing.
func (s *Server) Start(addr string) error {
	if err := begun(s.m); err != nil {
		return fmt.Errorf("grpcserver: listen on %s: %w", addr, err)
	}
	ln, err := listener.Listen(s.m.AcceptContext(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("grpcserver: %w", err)
	}
	return s.Serve(ln)
}

// Serve is Start for a listener that exists already: one from package listener,
// which can be drained without resetting anyone, what wraps one, or any other,
// which is drained as well as [listener.New] can. It takes ln over, and closes it
// also if it returns an error. Unlike grpc.Server's it does not block.
func (s *Server) Serve(ln net.Listener) error {
	err := begun(s.m)
	if err == nil {
		err = s.join(ln)
	}
	if err != nil {
		_ = ln.Close() // the other error matters
		return fmt.Errorf("grpcserver: serve on %s: %w", ln.Addr(), err)
	}
	s.serve(listener.New(ln))
	return nil
}

// Addr returns the address of the listener that the server was started on last;
// nil if there is none.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Drained returns a channel that is closed when the last handler has returned and
// the connections are closed, or when there is no time left for that.
func (s *Server) Drained() <-chan struct{} { return s.stopped }

// DrainAfter has the server drain only when all of the channels are closed: those
// of Drained of the servers whose handlers call this one, an HTTP gateway in the
// same process for example. It serves everyone who calls until then. If they are
// not closed by the end of [shutdown.Manager.WorkContext], it drains all the same,
// and a warning in the log names both. Servers can be started in any order, the
// inner one first. Once Drain has begun, DrainAfter does nothing.
//
// If others call it than the front, and the front's requests take long, give the
// front a server of its own, on a loopback address.
func (s *Server) DrainAfter(channels ...<-chan struct{}) { s.after.add(channels) }

// Health makes h, the health service of a server, say NOT_SERVING for every
// service as soon as the shutdown has begun, to those who ask and to those who
// watch. Serving goes on. If the shutdown has begun already, it does so at once.
func Health(m *shutdown.Manager, h *health.Server) {
	if h == nil {
		panic("grpcserver: Health: h is nil")
	}
	m.On(shutdown.Leave, "grpc health", func(context.Context) error {
		h.Shutdown()
		return nil
	})
}

func begun(m *shutdown.Manager) error {
	if m.Phase() == shutdown.Running {
		return nil
	}
	<-m.AcceptContext().Done() // it is about to be
	return fmt.Errorf("the shutdown has begun: %w", context.Cause(m.AcceptContext()))
}
