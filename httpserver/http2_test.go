package httpserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// A protocol is a way in which server and client talk.
type protocol struct {
	version int
	tls     bool
	h2c     bool
}

var protocols = map[string]protocol{
	"HTTP/1.1":        {version: 1},
	"HTTPS":           {version: 1, tls: true},
	"HTTP/2 over TLS": {version: 2, tls: true},
	"h2c":             {version: 2, h2c: true},
}

func (p protocol) scheme() string {
	if p.tls {
		return "https://"
	}
	return "http://"
}

// configure prepares srv for the protocol.
func (p protocol) configure(srv *http.Server) {
	if p.tls {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	}
	srv.Protocols = new(http.Protocols)
	switch {
	case p.h2c:
		srv.Protocols.SetUnencryptedHTTP2(true)
	case p.version == 2:
		srv.Protocols.SetHTTP2(true)
	default:
		srv.Protocols.SetHTTP1(true)
	}
}

// serve prepares srv for the protocol, has it started, and returns its URL.
func (p protocol) serve(t testing.TB, srv *http.Server, start func(net.Listener)) (url string) {
	t.Helper()
	p.configure(srv)
	ln := listen(t)
	start(ln)
	return p.scheme() + ln.Addr().String()
}

func (p protocol) client(t testing.TB) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: clientTLS()}
	switch {
	case p.h2c:
		transport.Protocols.SetUnencryptedHTTP2(true)
	case p.version == 2:
		transport.Protocols.SetHTTP2(true)
	default:
		transport.Protocols.SetHTTP1(true)
	}
	return clientOf(t, transport)
}

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		panic(err)
	}
	roots.AddCert(cert)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// certificate is self-signed.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), // in bubbles of synctest it is the year 2000
		DNSNames:     []string{"localhost"},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func TestHTTP2RequestsInFlightFinishAndTheClientIsToldToGoAway(t *testing.T) {
	for _, name := range []string{"HTTP/2 over TLS", "h2c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proto, g := protocols[name], newGate(t)
			m := manager(t, shutdown.Config{})
			mux := http.NewServeMux()
			mux.Handle("/held", g)
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
			srv := &http.Server{Handler: mux}
			url := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) })

			c := proto.client(t)
			first := get(t, c, url)
			require.NoError(t, first.err)
			require.Equal(t, 2, first.proto)
			require.Equal(t, first.body, get(t, c, url).body, "one connection for all")
			inFlight := later(t, c, url+"/held")
			within(t, "the request", g.entered)

			freeze := frozen(t, m)
			g.Open()
			require.Equal(t, reply{status: 200, reused: true, proto: 2, body: "held"}, within(t, "the reply", inFlight))
			// The GOAWAY comes with the reply, or a moment later.
			eventually(t, "a new connection", func() bool {
				r := get(t, c, url)
				require.NoError(t, r.err)
				return r.body != first.body
			})
			freeze.Open()
			require.NoError(t, end(t, m))
			// The old client may not have seen yet that its connection has ended, so
			// its error may be another.
			require.Error(t, get(t, c, url).err)
			require.ErrorIs(t, get(t, proto.client(t), url).err, syscall.ECONNREFUSED)
		})
	}
}

func TestHTTP2IsNegotiated(t *testing.T) {
	tests := map[string]struct {
		config *tls.Config // of the server
		wrap   *tls.Config // of the caller's own listener
	}{
		"by Start":                      {config: &tls.Config{Certificates: []tls.Certificate{certificate()}}},
		"by Start, with GetCertificate": {config: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { c := certificate(); return &c, nil }}},
		"by Start, with GetConfigForClient": {config: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}, nil
		}}},
		"by the caller's tls.NewListener": {wrap: &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			var ln net.Listener = listen(t)
			url := "https://" + ln.Addr().String()
			if tt.wrap != nil {
				ln = tls.NewListener(ln, tt.wrap)
			}
			startOn(t, m, &http.Server{Handler: g, TLSConfig: tt.config}, ln)

			for _, version := range []int{1, 2} {
				proto := protocol{version: version, tls: true}
				replies := later(t, proto.client(t), url)
				within(t, "the request", g.entered)
				defer func() {
					r := within(t, "the reply", replies)
					require.NoError(t, r.err)
					require.Equal(t, version, r.proto)
					require.Equal(t, "held", r.body)
					require.NoError(t, end(t, m))
				}()
			}
			m.Begin(nil)
			waitRefused(t, ln.Addr().String())
			g.Open()
		})
	}
}

// It is what programs do that use Serve, for which TLSConfig means nothing.
func TestATLSListenerOfTheCallersIsNotWrappedInTLSAgain(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}
	ln := listen(t)
	startOn(t, m, &http.Server{Handler: http.NotFoundHandler(), TLSConfig: config}, tls.NewListener(ln, config))
	r := get(t, protocol{version: 2, tls: true}.client(t), "https://"+ln.Addr().String())
	require.NoError(t, r.err)
	require.Equal(t, 2, r.proto)
}

// An h2 is an HTTP/2 client that sees each frame.
type h2 struct {
	rawConn
	next uint32 // stream
}

const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7

	frameWindowUpdate = 0x8

	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
)

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func newH2(t testing.TB, addr string) *h2 {
	t.Helper()
	return h2On(dialRaw(t, addr))
}

// h2On has exchanged settings with the server when it returns, so that nothing
// is on its way.
func h2On(conn rawConn) *h2 {
	conn.t.Helper()
	c := &h2{conn, 1}
	c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.write(frame{kind: frameSettings})
	c.read(frameSettings, 0)
	c.read(frameSettings, flagAck)
	c.write(frame{kind: frameSettings, flags: flagAck})
	c.ping()
	return c
}

func (c *h2) write(f frame) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(f.payload))<<8|uint32(f.kind))
	b = append(b, f.flags)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	c.send(string(append(b, f.payload...)))
}

// ping waits for the answer to a ping: by then the server has dealt with what
// was sent before.
func (c *h2) ping() {
	c.t.Helper()
	c.write(frame{kind: framePing, payload: make([]byte, 8)})
	c.read(framePing, flagAck)
}

// get sends a request and returns its stream.
func (c *h2) get(path string) uint32 {
	c.t.Helper()
	stream := c.next
	c.next += 2
	// HPACK: GET, http, a literal path, a literal authority.
	block := append([]byte{0x82, 0x86, 0x04, byte(len(path))}, path...)
	block = append(block, "\x01\x04test"...)
	c.write(frame{frameHeaders, flagEndStream | flagEndHeaders, stream, block})
	return stream
}

func (c *h2) frame() (f frame, err error) {
	header := make([]byte, 9)
	if _, err := io.ReadFull(c.r, header); err != nil {
		return f, err
	}
	size := binary.BigEndian.Uint32(header) >> 8
	f = frame{header[3], header[4], binary.BigEndian.Uint32(header[5:]), make([]byte, size)}
	_, err = io.ReadFull(c.r, f.payload)
	return f, err
}

// read skips frames until one of that kind comes with all of these flags.
func (c *h2) read(kind, flags byte) frame {
	c.t.Helper()
	for {
		f, err := c.frame()
		require.NoError(c.t, err)
		if f.kind == kind && f.flags&flags == flags {
			return f
		}
	}
}

// rest reads to the end, and returns the streams that ended, and the last
// stream that the server will answer if there was a GOAWAY.
func (c *h2) rest() (ended []uint32, goAway bool, last uint32) {
	c.t.Helper()
	for {
		f, err := c.frame()
		if err != nil {
			require.ErrorIs(c.t, err, io.EOF)
			return ended, goAway, last
		}
		switch {
		case f.kind == frameGoAway:
			goAway, last = true, binary.BigEndian.Uint32(f.payload)
		case (f.kind == frameHeaders || f.kind == frameData) && f.flags&flagEndStream != 0:
			ended = append(ended, f.stream)
		}
	}
}

// startH2 serves h2c and returns a client that has a connection.
func startH2(t testing.TB, m *shutdown.Manager, h http.Handler) (c *h2, addr string) {
	t.Helper()
	srv := &http.Server{Handler: h}
	protocols["h2c"].serve(t, srv, func(ln net.Listener) {
		startOn(t, m, srv, ln)
		addr = ln.Addr().String()
	})
	return newH2(t, addr), addr
}

func TestOnTheWireAGoAwayLeavesNoStreamOfTheConnectionOut(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	entered, next := make(chan struct{}), make(chan struct{})
	c, addr := startH2(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-next
	}))
	var streams []uint32
	for range 5 {
		streams = append(streams, c.get("/"))
		within(t, "the request", entered)
	}
	m.Begin(nil)
	waitRefused(t, addr)
	// A request on an open connection is still let in: only a GOAWAY can tell
	// the client not to send it.
	streams = append(streams, c.get("/"))
	within(t, "a request in the drain", entered)
	for range streams {
		next <- struct{}{}
	}
	ended, goAway, last := c.rest()
	require.ElementsMatch(t, streams, ended)
	require.True(t, goAway)
	require.GreaterOrEqual(t, last, streams[len(streams)-1])
	require.NoError(t, end(t, m))
}

// What has not been answered when the GOAWAY comes is answered after it.
func TestOnTheWireStreamsThatTakeLongerThanTheGoAwayAreAnswered(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	mux := http.NewServeMux()
	mux.Handle("/held", g)
	c, _ := startH2(t, m, mux)
	held := c.get("/held")
	within(t, "the request", g.entered)
	freeze := frozen(t, m)
	quick := c.get("/")
	f := c.read2(frameHeaders, frameGoAway)
	if f.kind == frameHeaders {
		require.Equal(t, quick, f.stream)
		c.read(frameGoAway, 0)
	}
	freeze.Open()
	g.Open()
	ended, _, _ := c.rest()
	require.Contains(t, ended, held)
	require.NoError(t, end(t, m))
}

func TestAnIdleHTTP2ConnectionIsToldToGoAwayBeforeItIsClosed(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	c, _ := startH2(t, m, handle(func(http.ResponseWriter, *http.Request) {}).Handler)
	c.get("/")
	c.read(frameHeaders, flagEndStream)
	m.Begin(nil)
	_, goAway, _ := c.rest()
	require.True(t, goAway)
}

// read2 skips frames until one of these kinds comes.
func (c *h2) read2(a, b byte) frame {
	c.t.Helper()
	for {
		f, err := c.frame()
		require.NoError(c.t, err)
		if f.kind == a || f.kind == b {
			return f
		}
	}
}

// The first GOAWAY names no limit and comes before the answers, so what the
// client has sent by the time that it reads it is answered.
func TestOnTheWireTheFirstGoAwayNamesNoLimit(t *testing.T) {
	t.Parallel()
	var good, bad int
	for range 50 {
		switch ours, late := firstGoAway(t); {
		case ours:
			good++
		case !late:
			bad++ // once it may be a goroutine of net/http's that stands still behind a write
		}
		require.Less(t, bad, 2, "the answers came before the GOAWAY")
		if good == 3 {
			return
		}
	}
	t.Fatal("the answers came before the GOAWAY, each time")
}

// firstGoAway reports whether the GOAWAY that comes first is ours, and if not,
// whether the machine is so busy that the answers were not held until both were
// ready.
func firstGoAway(t *testing.T) (ours, late bool) {
	m := manager(t, shutdown.Config{})
	entered, next := make(chan struct{}), make(chan struct{})
	c, _ := startH2(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-next
	}))
	c.get("/")
	c.get("/")
	within(t, "the request", entered)
	within(t, "the request", entered)
	freeze := frozen(t, m) // in the drain the connection would be closed if the last request were late
	// One answer alone is held until the other is ready.
	ready := time.Now()
	next <- struct{}{}
	next <- struct{}{}
	f := c.read2(frameHeaders, frameGoAway)
	ours = f.kind == frameGoAway && binary.BigEndian.Uint32(f.payload) == 1<<31-1
	if !ours {
		late = time.Since(ready) > 90*time.Millisecond // net/http has its own, before or after an answer
		freeze.Open()
		return ours, late
	}
	onItsWay := c.get("/")
	// For answers that are written late, the client has not heeded it.
	if ours = !c.limited(2); !ours {
		late = time.Since(ready) > 450*time.Millisecond
		freeze.Open()
		return ours, late
	}
	within(t, "the request that was on its way", entered)
	next <- struct{}{}
	freeze.Open()
	ended, _, _ := c.rest()
	require.Equal(t, []uint32{onItsWay}, ended)
	require.NoError(t, end(t, m))
	return ours, late
}

// limited reads that many answers, and reports whether a GOAWAY came with them.
func (c *h2) limited(answers int) (is bool) {
	c.t.Helper()
	for pinged := false; ; {
		f, err := c.frame()
		require.NoError(c.t, err)
		switch {
		case f.kind == frameGoAway:
			is = true
		case f.kind == framePing:
			return is
		case (f.kind == frameHeaders || f.kind == frameData) && f.flags&flagEndStream != 0:
			answers--
		}
		if answers == 0 && !pinged {
			pinged = true
			c.write(frame{kind: framePing, payload: make([]byte, 8)})
		}
	}
}

// An answer is not held forever because another stream has none.
func TestOnTheWireAnAnswerIsHeldForAMomentOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, g, network := manager(t, shutdown.Config{}), newGate(t), newPipeNet()
		mux := http.NewServeMux()
		mux.Handle("/held", g)
		srv := &http.Server{Handler: mux}
		protocols["h2c"].configure(srv)
		startOn(t, m, srv, counted(network))
		c := h2On(network.dialRaw(t))
		c.get("/held")
		within(t, "the request", g.entered)
		m.Begin(nil)
		<-network.ended
		asked := time.Now()
		quick := c.get("/")
		require.Equal(t, quick, c.read(frameHeaders, 0).stream)
		require.Equal(t, 100*time.Millisecond, time.Since(asked))
		g.Open()
		c.rest()
		require.NoError(t, end(t, m))
	})
}

// The same on a socket, and without a clock: the answer comes while the other
// stream still has none, and the client is told to go away.
func TestOnTheWireAnAnswerDoesNotWaitForAnotherStream(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	mux := http.NewServeMux()
	mux.Handle("/held", g)
	c, addr := startH2(t, m, mux)
	held := c.get("/held")
	within(t, "the request", g.entered)
	m.Begin(nil)
	waitRefused(t, addr)
	quick, told := c.get("/"), false
	f := c.read2(frameHeaders, frameGoAway)
	for f.kind == frameGoAway {
		told = true
		f = c.read2(frameHeaders, frameGoAway)
	}
	require.Equal(t, quick, f.stream)
	g.Open()
	ended, toldLater, _ := c.rest()
	require.Contains(t, ended, held)
	require.True(t, told || toldLater)
	require.NoError(t, end(t, m))
}

// A client that does not read for a while makes the server's writes block. The
// GOAWAY must not get in between two writes of one frame.
func TestOnTheWireASlowReaderGetsWholeFrames(t *testing.T) {
	t.Parallel()
	const requests, size = 240, 3000
	m, g := manager(t, shutdown.Config{}), newGate(t)
	var handled sync.WaitGroup
	handled.Add(requests)
	mux := http.NewServeMux()
	mux.Handle("/held", g)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		defer handled.Done()
		_, _ = w.Write(make([]byte, size))
	})
	c := slowReader(t, m, mux)
	c.get("/held")
	within(t, "the request", g.entered)
	want := map[uint32]int{}
	for range requests {
		want[c.get("/")] = size
	}
	handled.Wait() // the handlers have returned, and their answers are stuck
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	g.Open()
	// Long enough for the hold to end. Nothing else can be waited for: nothing
	// must happen.
	time.Sleep(400 * time.Millisecond)
	require.Equal(t, want, c.answers(want))
	require.NoError(t, end(t, m))
}

// slowReader is a client of a server whose socket has little room. The windows
// of HTTP/2 have enough.
func slowReader(t *testing.T, m *shutdown.Manager, h http.Handler) *h2 {
	t.Helper()
	srv := &http.Server{Handler: h, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(4096)
		return ctx
	}}
	var addr string
	protocols["h2c"].serve(t, srv, func(ln net.Listener) {
		startOn(t, m, srv, ln)
		addr = ln.Addr().String()
	})
	c := newH2(t, addr)
	room := binary.BigEndian.AppendUint32(nil, 1<<24)
	c.write(frame{kind: frameSettings, payload: append([]byte{0, 4}, room...)})
	c.write(frame{kind: frameWindowUpdate, payload: room})
	c.read(frameSettings, flagAck)
	return c
}

// answers reads to the end, and returns how much of these streams came.
func (c *h2) answers(of map[uint32]int) map[uint32]int {
	c.t.Helper()
	got := map[uint32]int{}
	for {
		f, err := c.frame()
		if err != nil {
			require.ErrorIs(c.t, err, io.EOF)
			return got
		}
		require.LessOrEqual(c.t, f.kind, byte(0x9), "there is no such kind of frame")
		if _, ok := of[f.stream]; ok && f.kind == frameData {
			got[f.stream] += len(f.payload)
		}
	}
}
