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

// A crowd is 32 clients that send RPCs as fast as they can until a dial is refused. A
// dial without an answer is no loss. An RPC that fails on a connection is one, unless the
// client was late.
type crowd struct {
	addr    string
	perCall bool // a connection for each call instead of a shared one
	creds   credentials.TransportCredentials

	stopping             atomic.Bool // the server is about to stop, so a dial may fail
	answered, lost, late atomic.Int64
	first                atomic.Pointer[error] // of the calls that were lost
	clients              sync.WaitGroup
}

// A line is a client and its connections.
type line struct {
	*grpc.ClientConn

	mu    sync.Mutex // protects what follows
	dials int        // that have been started
	used  int        // the last dial whose connection is known to have had an answer
	last  *link      // the last connection
}

// A link is a connection of a line. It records its times as the client sees them: a dial
// that starts late and a failure that is noticed late are included.
type link struct {
	net.Conn
	dial   int
	dialed time.Time
	called atomic.Pointer[time.Time] // when the first call was sent
	taken  atomic.Bool               // the server has completed its handshake, as far as that can be seen
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

// options returns the options for the client of the line.
func (l *line) options(creds credentials.TransportCredentials) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithTransportCredentials(observingCreds{creds, l}), grpc.WithContextDialer(l.dial)}
}

func (l *line) dial(ctx context.Context, addr string) (net.Conn, error) {
	l.mu.Lock()
	l.dials++
	made := &link{dial: l.dials, dialed: time.Now()}
	l.mu.Unlock()
	// SYNs may be dropped while the listener drains.
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

// begin is called before each call. Pass the result to answered.
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

// wasLate reports whether the first call on the last connection was too late to count.
func (l *line) wasLate() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil || l.used >= l.last.dial {
		return false
	}
	return l.last.late(l.last.dialed)
}

// late reports whether the server need not have waited for the first call, because it was
// not sent within 250 ms. The time from the call to its answer does not count, unless the
// server was late with the handshake.
func (l *link) late(since time.Time) bool {
	lasted := l.lasted(since)
	without := lasted
	if at := l.called.Load(); at != nil {
		without = min(lasted, at.Sub(since))
	}
	return without > inTime || !l.taken.Load() && lasted > handshake
}

// lasted returns how long the connection was open after since.
func (l *link) lasted(since time.Time) time.Duration {
	if at := l.ended.Load(); at != nil {
		return at.Sub(since)
	}
	return time.Since(since)
}

// connection returns the last connection.
func (l *line) connection() *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

const (
	// inTime is less than the time for a first RPC if no other connection makes progress.
	inTime = 200 * time.Millisecond
	// handshake is less than the time for a handshake that has started: half a second
	// without a byte, and one second in all.
	handshake = 2 * inTime
)

const (
	clients = 32
	// crowded is a limit for what a crowd does, on a slow machine.
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

// dial returns a line that has not been used.
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
		return !c.stopping.Load() // on a slow machine a dial may time out
	case ctx.Err() != nil: // the test has ended
		return false
	case l.wasLate():
		c.late.Add(1)
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

// end waits until the dials of all clients have been refused.
func (c *crowd) end(t testing.TB) {
	t.Helper()
	ended := make(chan struct{})
	go func() { defer close(ended); c.clients.Wait() }()
	within(t, "every client refused", ended)
}

// requireNoLoss runs shutdowns of servers with crowds. If a client was late, it runs
// another round, because the first one proves nothing.
func requireNoLoss(t testing.TB, round func() []*crowd) {
	t.Helper()
	for try := 1; ; try++ {
		late := int64(0)
		for _, c := range round() {
			c.requireNoneLost(t)
			late += c.late.Load()
		}
		if late == 0 {
			return
		}
		t.Logf("late: %d", late)
		require.Less(t, try, tries, "in each round a client was late")
	}
}

func (c *crowd) requireNoneLost(t testing.TB) {
	t.Helper()
	if err := c.first.Load(); err != nil {
		require.Fail(t, "lost", "%d, and %d answered: %v", c.lost.Load(), c.answered.Load(), *err)
	}
}
