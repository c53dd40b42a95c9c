package httpserver_test

import (
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
)

// Many connections are idle, and all send a request at about the time at which the
// linger ends. None may be closed while a request is in its buffer. The clients check
// that the connection is open just before they send, so that a client that is late does
// not count.
func TestRequestsThatArriveWhenTheLingerEndsAreSeen(t *testing.T) {
	const clients, rounds = 1000, 6
	var b burst
	for round := 0; round < rounds || b.sent.Load() < clients && round < 10*rounds; round++ {
		b.round(t, clients, time.Duration(49+2*(round%rounds))*time.Millisecond)
	}
	t.Log("sent:", b.sent.Load(), "lost:", b.lost.Load())
	require.GreaterOrEqual(t, b.sent.Load(), int64(100))
	// There is a race of microseconds, which a suspended thread may lose. Without the
	// check for arrived bytes, some hundreds are lost.
	require.Less(t, b.lost.Load()*200, max(b.sent.Load(), 2*clients))
}

type burst struct{ sent, lost atomic.Int64 }

func (b *burst) round(t *testing.T, clients int, after time.Duration) {
	m := manager(t, shutdown.Config{LameDuck: -1})
	addr := start(t, m, handle(func(http.ResponseWriter, *http.Request) {}))
	var wg sync.WaitGroup
	begin := make(chan time.Time)
	for range clients {
		c := dialRaw(t, addr)
		c.get("/")
		c.response()
		wg.Go(func() {
			begun := <-begin
			time.Sleep(time.Until(begun.Add(after + rand.N(10*time.Millisecond))))
			if !sendIfOpen(c.Conn.(*net.TCPConn), "GET / HTTP/1.1\r\nHost: test\r\n\r\n") {
				return
			}
			b.sent.Add(1)
			resp, err := http.ReadResponse(c.r, nil)
			if err == nil {
				resp.Body.Close()
			} else {
				b.lost.Add(1)
			}
		})
	}
	begun := time.Now()
	m.Begin(nil)
	for range clients {
		begin <- begun
	}
	wg.Wait()
	require.NoError(t, within(t, "the end", wait(m)))
}

// sendIfOpen sends a request if c is open, as far as the client can know, and reports
// whether it did.
func sendIfOpen(c *net.TCPConn, request string) (sent bool) {
	socket, err := c.SyscallConn()
	if err != nil {
		return false
	}
	_ = socket.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}} //nolint:gosec // a file descriptor is an int
		if n, _ := unix.Poll(fds, 0); n == 0 {
			_, err := unix.Write(int(fd), []byte(request)) //nolint:gosec // the same
			sent = err == nil
		}
	})
	return sent
}
