package grpcserver

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// A Server is a grpc.Server that its Manager drains in the shutdown. NewServer and Adopt
// return one. Its methods may be called by several goroutines at once.
type Server struct {
	*grpc.Server

	m     *shutdown.Manager
	conns conns

	mu         sync.Mutex // protects what follows
	addr       net.Addr   // of the last listener
	drainAfter []<-chan struct{}
	serving    int           // listeners that have not drained
	stopping   bool          // all listeners have drained, so none can be added
	stopped    chan struct{} // closed when stop has returned
}

// NewServer makes a grpc.Server with [Options] followed by opts, and takes it over for m:
// leave GracefulStop and Stop to m. If the caller stops it nevertheless, it ends without
// starting the shutdown.
func NewServer(m *shutdown.Manager, opts ...grpc.ServerOption) *Server {
	return Adopt(m, grpc.NewServer(append(Options(m), opts...)...))
}

// Adopt takes over a server that other code has made, a framework for example. The
// server has to be made with [Options], which Adopt cannot check. Without them, its RPCs
// are not in flight for m, have no name in reports, and end only when their connections
// are closed. Adopt a server once. Adopt panics if srv is nil.
//
// An xds.GRPCServer cannot be adopted: it has its own grpc.Server, which it does not
// expose, and which starts and stops as the management server says.
func Adopt(m *shutdown.Manager, srv *grpc.Server) *Server {
	if srv == nil {
		panic("grpcserver: Adopt: srv is nil")
	}
	return &Server{Server: srv, m: m, stopped: make(chan struct{})}
}

// Start listens on addr and serves until the shutdown has drained the server. It does
// not block: it returns when the port is open, or with an error if it cannot be opened.
// If serving fails later, that starts the shutdown. A server may be started on several
// addresses.
//
// If the shutdown has started, Start returns an error and does not listen.
func (s *Server) Start(addr string) error {
	if err := checkRunning(s.m); err != nil {
		return fmt.Errorf("grpcserver: listen on %s: %w", addr, err)
	}
	ln, err := listener.Listen(s.m.AcceptContext(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("grpcserver: %w", err)
	}
	return s.Serve(ln)
}

// Serve is Start with an existing listener. One from package listener, or one that wraps
// such a listener, drains without losing connections. Any other drains as described for
// [listener.New]. Serve takes ln over and closes it, also if it returns an error. Unlike
// grpc.Server.Serve it does not block.
func (s *Server) Serve(ln net.Listener) error {
	err := checkRunning(s.m)
	if err == nil {
		err = s.addListener(ln)
	}
	if err != nil {
		_ = ln.Close() // the other error matters
		return fmt.Errorf("grpcserver: serve on %s: %w", ln.Addr(), err)
	}
	s.serveOn(listener.New(ln))
	return nil
}

// Addr returns the address of the listener that was started last, or nil if there is
// none.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Drained returns a channel that is closed when the server has drained: all handlers
// have returned and all connections are closed. It is also closed when there is no time
// left for that.
func (s *Server) Drained() <-chan struct{} { return s.stopped }

// DrainAfter makes the server drain only when all of the channels are closed. They are
// the Drained channels of the servers whose handlers call this one, for example an HTTP
// gateway in the same process. Until then it serves all clients. If the channels are
// still open at the end of [shutdown.Manager.WorkContext], the server drains
// nevertheless, and a warning in the log names both servers. Servers can be started in
// any order.
//
// DrainAfter does not block. A further call adds channels. Once Drain has started, a
// call has no effect. It panics if a channel is nil.
//
// If the server has other clients too and the requests of the calling server take long,
// start a second server for those requests, on a loopback address.
func (s *Server) DrainAfter(channels ...<-chan struct{}) {
	for i, ch := range channels {
		if ch == nil {
			panic(fmt.Sprintf("grpcserver: DrainAfter: channel %d of %d is nil", i+1, len(channels)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainAfter = append(s.drainAfter, channels...)
}

func checkRunning(m *shutdown.Manager) error {
	if m.Phase() == shutdown.Running {
		return nil
	}
	<-m.AcceptContext().Done() // about to end, if it has not
	return fmt.Errorf("the shutdown has begun: %w", context.Cause(m.AcceptContext()))
}
