package drill

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// An idleConn is a connection of HTTP/1.1 on which one request was answered, and no other
// is sent. Nil is none.
type idleConn struct {
	net.Conn
	transport *http.Transport
	ended     atomic.Int64 // when the server closed it, in Unix nanoseconds; 0: not
}

func openIdle(ctx context.Context, t *Target, mode load.Mode) (*idleConn, error) {
	request := t.Request
	if mode != load.KeepAlive && mode != load.NewConn || request == nil || request.GRPC {
		return nil, nil
	}
	c := &idleConn{transport: t.transport(mode)}
	c.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		c.Conn = conn
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := request.Send(ctx, c.transport, t.url(t.Path), strings.NewReader(request.Content())); err != nil {
		c.close()
		return nil, fmt.Errorf("opening an idle connection: %w", err)
	}
	return c, nil
}

// Read is called by net/http also while the connection is idle.
func (c *idleConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.ended.CompareAndSwap(0, time.Now().UnixNano())
	}
	return n, err
}

// closedAfter returns how long after a time the server closed the connection; 0 if it did
// not, or before.
func (c *idleConn) closedAfter(stop time.Time) time.Duration {
	if c == nil {
		return 0
	}
	return max(0, time.Duration(c.ended.Load()-stop.UnixNano()))
}

func (c *idleConn) close() {
	if c != nil {
		c.transport.CloseIdleConnections()
	}
}
