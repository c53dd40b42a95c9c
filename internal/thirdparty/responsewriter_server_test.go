package thirdparty

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// protocol is the protocol of a site.
type protocol string

const (
	http1    protocol = "HTTP/1.1"
	http1TLS protocol = "HTTP/1.1 TLS"
	http2TLS protocol = "HTTP/2"
	overQUIC protocol = "HTTP/3"
)

// A site is a server with one handler, with the library or without. It records what
// its handler and its clients see.
type site struct {
	*testing.T
	protocol protocol
	addr     string
	url      string
	client   *http.Client

	mu     sync.Mutex // protects what follows
	server []string
	seen   []string

	entered chan struct{} // gets a value when a handler is called
	ended   chan struct{} // gets a value when a handler has returned
}

// handled records what the handler sees.
func (s *site) handled(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = append(s.server, fmt.Sprintf(format, args...))
}

// saw records what a client sees.
func (s *site) saw(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, fmt.Sprintf(format, args...))
}

func (s *site) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(append(s.server, s.seen...), "; ")
}

// how says how a site is served.
type how int

const (
	without  how = iota // by net/http or quic-go alone
	with                // with the library
	draining            // with the library, after Drain has begun
)

// newSite starts a site for b.
func newSite(t *testing.T, p protocol, how how, b behaviour) *site {
	s := &site{T: t, protocol: p, entered: make(chan struct{}, 100), ended: make(chan struct{}, 100)}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.entered <- struct{}{}
		defer func() { s.ended <- struct{}{} }()
		b.handle(s, w, r)
	})
	m := manager(t, shutdown.Config{}, nil)
	if how == draining {
		defer hold(t, m)()
	}
	server, trust := certificate(t)
	if p == overQUIC {
		next := http.Handler(handler)
		if how != without {
			next = httpserver.Middleware(m)(handler)
		}
		s.addr = serveHTTP3(t, nil, next)
		s.url, s.client = "https://"+s.addr+"/", http3Client(t)
		return s
	}
	srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	s.url, s.client = "http://", client(t, &http.Transport{DisableCompression: true})
	if p != http1 {
		srv.TLSConfig, s.url = server, "https://"
		transport := overTLS(trust)
		if p == http1TLS {
			transport.Protocols.SetHTTP2(false)
			transport.Protocols.SetHTTP1(true)
		}
		s.client = client(t, transport)
	}
	s.addr = s.listen(m, srv, how, b.file)
	s.url += s.addr + "/"
	return s
}

func (s *site) listen(m *shutdown.Manager, srv *http.Server, how how, file bool) string {
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(s, err)
	if file {
		ln = fileListener{ln, s}
	}
	if how != without {
		server, err := httpserver.Serve(m, srv, ln)
		require.NoError(s, err)
		held := make(chan struct{})
		s.Cleanup(func() { close(held) })
		server.DrainAfter(held) // so that it continues to serve
		return ln.Addr().String()
	}
	served := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	s.Cleanup(func() {
		srv.Close()
		within(s, "the end of Serve", served)
	})
	return ln.Addr().String()
}

// hold makes a shutdown stay in Drain until the end of the test. begin begins it.
func hold(t *testing.T, m *shutdown.Manager) (begin func()) {
	release, ok := m.Track("the test")
	require.True(t, ok)
	t.Cleanup(release)
	return func() {
		m.Begin(nil)
		<-m.Reached(shutdown.Drain)
	}
}

// fileListener accepts connections that record the type of what is sent with
// ReadFrom. The kernel sends a file itself only if the file reaches the connection.
type fileListener struct {
	net.Listener
	site *site
}

type fileConn struct {
	*net.TCPConn
	site *site
}

func (l fileListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &fileConn{conn.(*net.TCPConn), l.site}, nil
}

func (c *fileConn) ReadFrom(r io.Reader) (int64, error) {
	c.site.handled("the connection is given a %T", r)
	return c.TCPConn.ReadFrom(r)
}

// dial opens a connection for HTTP/1.1 requests that http.Client cannot send.
func (s *site) dial() net.Conn {
	conn, err := net.DialTimeout("tcp", s.addr, soon)
	require.NoError(s, err)
	if s.protocol == http1TLS {
		_, trust := certificate(s)
		conn = tls.Client(conn, trust)
	}
	s.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// patience bounds the wait for an event that may not come. The site records that, and
// the test continues.
const patience = 3 * time.Second
