package grpcserver_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// A crowd is 32 clients that call as fast as they can, until they are refused:
// a dial that nobody answers is no loss, a call that fails on a connection is,
// unless the client was held up.
type crowd struct {
	addr    string
	perCall bool // a connection for each call, or else one for all
	creds   credentials.TransportCredentials

	stopping             atomic.Bool // the server is about to: a dial may fail
	answered, lost, held atomic.Int64
	first                atomic.Pointer[error] // that was lost
	clients              sync.WaitGroup
}

// A line is a client's way to the server.
type line struct {
	*grpc.ClientConn

	mu    sync.Mutex // protects what follows
	dials int        // that have begun
	used  int        // the last of them that is known to have led to an answer
	last  *link      // that was connected
}

// A link is a connection of a line, which knows how long it has been one for the
// client. A dial that begins late, and a failure that is seen late, count.
type link struct {
	net.Conn
	dial   int
	dialed time.Time
	called atomic.Pointer[time.Time] // when the first call had been sent
	taken  atomic.Bool               // the server has ended its handshake, as far as one can see
	ended  atomic.Pointer[time.Time]
}

func (l *link) end() {
	now := time.Now()
	l.ended.CompareAndSwap(nil, &now)
}

func (l *link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err != nil {
		l.end()
	}
	return n, err
}

func (l *link) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	if err != nil {
		l.end()
	}
	return n, err
}

func (l *link) Close() error {
	l.end()
	return l.Conn.Close()
}

// options are for the client whose line it is.
func (l *line) options(creds credentials.TransportCredentials) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithTransportCredentials(seeing{creds, l}), grpc.WithContextDialer(l.dial)}
}

func (l *line) dial(ctx context.Context, addr string) (net.Conn, error) {
	l.mu.Lock()
	l.dials++
	made := &link{dial: l.dials, dialed: time.Now()}
	l.mu.Unlock()
	// While the listener drains nobody answers.
	conn, err := (&net.Dialer{Timeout: 300 * time.Millisecond}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	made.Conn = conn
	l.mu.Lock()
	l.last = made
	l.mu.Unlock()
	return made, nil
}

func (l *line) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last != nil
}

// begin is for each call; the result is for answered.
func (l *line) begin() (dial int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dials
}

func (l *line) answered(dial int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = max(l.used, dial)
}

// heldUp reports whether what became of the first call on the last connection
// proves nothing.
func (l *line) heldUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil || l.used >= l.last.dial {
		return false
	}
	return l.last.late(l.last.dialed)
}

// late reports whether the connection has had so much time since then, without a
// first call being sent, that the server need not have waited for it any longer:
// it does so for 250 ms. For how long a call that has been sent goes without its
// answer is no excuse, unless the server itself was held up in the handshake.
func (l *link) late(since time.Time) bool {
	lasted := l.lasted(since)
	without := lasted
	if at := l.called.Load(); at != nil {
		without = min(lasted, at.Sub(since))
	}
	return without > inTime || !l.taken.Load() && lasted > handshake
}

// lasted returns for how long it has been a connection since then.
func (l *link) lasted(since time.Time) time.Duration {
	if at := l.ended.Load(); at != nil {
		return at.Sub(since)
	}
	return time.Since(since)
}

// connection is the last that there was.
func (l *line) connection() *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

const (
	// inTime is less than what a client has that nobody comes further beside.
	inTime = 200 * time.Millisecond
	// handshake is less than what a connection has that has begun with it: half a
	// second without a byte, and a second in all.
	handshake = 2 * inTime
)

const (
	clients = 32
	// crowded bounds what a crowd does, on a machine that has no time for it.
	crowded = 3 * time.Minute
)

func (c *crowd) start(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), crowded)
	t.Cleanup(cancel)
	if c.creds == nil {
		c.creds = insecure.NewCredentials()
	}
	shared := c.dial(t)
	for range clients {
		c.clients.Go(func() {
			for ctx.Err() == nil && c.call(ctx, t, shared) {
			}
		})
	}
	go func() {
		c.clients.Wait()
		_ = shared.Close()
	}()
}

// dial makes a line that has not been tried.
func (c *crowd) dial(t testing.TB) *line {
	l := new(line)
	cc, err := grpc.NewClient("passthrough:///"+c.addr, append(l.options(c.creds), grpc.WithDisableRetry())...)
	require.NoError(t, err)
	l.ClientConn = cc
	return l
}

func (c *crowd) call(ctx context.Context, t testing.TB, shared *line) (again bool) {
	l := shared
	if c.perCall {
		l = c.dial(t)
		defer func() { _ = l.Close() }()
	}
	dial := l.begin()
	_, err := pb.NewTestServiceClient(l).UnaryCall(ctx, &pb.SimpleRequest{})
	switch {
	case err == nil:
		l.answered(dial)
		c.answered.Add(1)
		return true
	case (l == shared || !l.connected()) && strings.Contains(err.Error(), "Error while dialing"):
		return !c.stopping.Load() // on a slow machine the dialer has had no time
	case ctx.Err() != nil: // the test is over
		return false
	case l.heldUp():
		c.held.Add(1)
		return !c.stopping.Load()
	}
	if c.lost.Add(1) == 1 {
		c.first.Store(&err)
	}
	return false
}

func (c *crowd) warm(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(crowded); c.answered.Load() < 300; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%d calls answered", c.answered.Load())
	}
	c.stopping.Store(true)
}

// end waits until everyone has been refused.
func (c *crowd) end(t testing.TB) {
	t.Helper()
	ended := make(chan struct{})
	go func() { defer close(ended); c.clients.Wait() }()
	within(t, "every client refused", ended)
}

// loseNobody ends servers with their crowds, and again, if a client was held up:
// what became of that one proves nothing.
func loseNobody(t testing.TB, round func() []*crowd) {
	t.Helper()
	for try := 1; ; try++ {
		held := int64(0)
		for _, c := range round() {
			c.requireNoneLost(t)
			held += c.held.Load()
		}
		if held == 0 {
			return
		}
		t.Logf("held up: %d", held)
		require.Less(t, try, tries, "each time a client had to be given up")
	}
}

func (c *crowd) requireNoneLost(t testing.TB) {
	t.Helper()
	if err := c.first.Load(); err != nil {
		require.Fail(t, "lost", "%d, and %d answered: %v", c.lost.Load(), c.answered.Load(), *err)
	}
}
