package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

// lateStart is how long a start-up still takes after SIGTERM with LateWait.
const lateStart = 200 * time.Millisecond

// serve is the main function of a child process. It prints its address and serves
// until SIGTERM.
func (s service) serve() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the parent has died
	}()
	if s.Library {
		s.serveWithLibrary()
	} else if err := s.serveWithout(); err != nil {
		log.Fatal(err)
	}
}

func (s service) serveWithLibrary() {
	cfg := shutdown.Config{GracePeriod: s.Grace, LameDuck: s.LameDuck}
	if cfg.LameDuck == 0 {
		cfg.LameDuck = -1
	}
	if cfg.GracePeriod == 0 {
		cfg.GracePeriod = 10 * time.Second
	}
	m, err := shutdown.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	idle := &idleConns{since: make(map[string]time.Time)}
	if err := s.start(m, idle); err != nil {
		m.Begin(err)
	}
	if s.LateWait {
		<-m.AcceptContext().Done()
		time.Sleep(lateStart)
	}
	err = m.Wait()
	idle.print(m.Report())
	os.Exit(shutdown.ExitCode(err))
}

func (s service) start(m *shutdown.Manager, idle *idleConns) error {
	ln, err := listener.Listen(context.Background(), "tcp", loopback.Addr())
	if err != nil {
		return err
	}
	if s.Protocol == rpc {
		err = grpcserver.Adopt(m, newRPCServer(grpcserver.Options(m)...)).Serve(ln)
	} else {
		srv, end, serverErr := s.server()
		if serverErr != nil {
			return serverErr
		}
		if s.Stream.Ender == drainHook {
			m.On(shutdown.Drain, "streams", func(context.Context) error { end(); return nil })
		}
		srv.ConnState = idle.setState
		_, err = httpserver.Serve(m, srv, ln)
	}
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return nil
}

// serveWithout is the same without the library.
func (s service) serveWithout() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", loopback.Addr())
	if err != nil {
		return err
	}
	limit := 8 * time.Second
	if s.Stream.Ender == nobody {
		limit = 3 * time.Second
	}
	wait := func() (context.Context, context.CancelFunc) {
		<-ctx.Done()
		if s.LateWait {
			time.Sleep(lateStart)
		}
		time.Sleep(s.LameDuck)
		return context.WithTimeout(context.Background(), limit)
	}
	fmt.Println(ln.Addr())
	if s.Protocol == rpc {
		return serveRPCWithout(newRPCServer(), ln, wait)
	}
	srv, end, err := s.server()
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	limited, cancel := wait()
	defer cancel()
	if s.Stream.Ender == drainHook {
		end()
	}
	if err := srv.Shutdown(limited); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func serveRPCWithout(srv *grpc.Server, ln net.Listener, wait func() (context.Context, context.CancelFunc)) error {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	limited, cancel := wait()
	defer cancel()
	defer context.AfterFunc(limited, srv.Stop)()
	srv.GracefulStop()
	return <-served
}

// server returns the http.Server and the function that ends its streams.
func (s service) server() (srv *http.Server, end func(), err error) {
	answers, err := s.handler()
	if err != nil {
		return nil, nil, err
	}
	held := newStreams()
	mux := http.NewServeMux()
	mux.Handle("/", answers)
	mux.HandleFunc("GET "+sse.path(), held.serveSSE)
	mux.HandleFunc("GET "+webSocket.path(), held.serveWebSocket)
	srv = &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(!s.Protocol.http2())
	srv.Protocols.SetHTTP2(s.Protocol == h2)
	srv.Protocols.SetUnencryptedHTTP2(s.Protocol == h2c)
	if s.Stream.Ender == registered {
		srv.RegisterOnShutdown(held.end)
	}
	if s.Protocol.tls() {
		srv.TLSConfig, err = s.Cert.Server()
	}
	return srv, held.end, err
}

func (s service) handler() (http.Handler, error) {
	switch s.Handler {
	case direct:
		return s.Answer, nil
	case timeoutHandler:
		return http.TimeoutHandler(s.Answer, 8*time.Second, "too slow"), nil
	case reverseProxy:
		return newReverseProxy(s.Backend), nil
	}
	return nil, fmt.Errorf("guard: unknown handler %q", s.Handler)
}

// goneStatus is the status of a reverse proxy whose own dial was refused.
const goneStatus = 521

func newReverseProxy(backend string) http.Handler {
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
	p.FlushInterval = -1
	p.Transport = &http.Transport{MaxIdleConnsPerHost: clients}
	p.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		if errors.Is(err, syscall.ECONNREFUSED) {
			w.WriteHeader(goneStatus)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}
	return p
}
