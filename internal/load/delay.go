package load

import (
	"net"
	"slices"
	"sync"
	"time"
)

// A delayedConn delays what is sent and what is received, as a long line does.
type delayedConn struct {
	net.Conn
	delay    time.Duration
	sent     chan packet
	received chan packet
	rest     []byte // of the packet that is being read
	once     sync.Once
	closed   chan struct{}
}

// A packet arrives at a time. It has bytes or an error.
type packet struct {
	due   time.Time
	bytes []byte
	err   error
}

func delayed(inner net.Conn, delay time.Duration) net.Conn {
	c := &delayedConn{
		Conn: inner, delay: delay, closed: make(chan struct{}),
		sent: make(chan packet, 1000), received: make(chan packet, 1000),
	}
	go c.send()
	go c.receive()
	return c
}

func (c *delayedConn) Write(p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	select {
	case c.sent <- packet{due: time.Now().Add(c.delay), bytes: slices.Clone(p)}:
		return len(p), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

// send writes what has been sent, and closes the connection after that.
func (c *delayedConn) send() {
	defer c.Conn.Close()
	for {
		select {
		case p := <-c.sent:
			c.sendOne(p)
			continue
		case <-c.closed:
		}
		for len(c.sent) > 0 {
			c.sendOne(<-c.sent)
		}
		return
	}
}

func (c *delayedConn) sendOne(p packet) {
	time.Sleep(time.Until(p.due))
	_, _ = c.Conn.Write(p.bytes) // if it fails, so do reads
}

func (c *delayedConn) receive() {
	for {
		buf := make([]byte, 32<<10)
		n, err := c.Conn.Read(buf)
		p := packet{due: time.Now().Add(c.delay), bytes: buf[:n], err: err}
		select {
		case c.received <- p:
		case <-c.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read is called by one goroutine.
func (c *delayedConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		select {
		case next := <-c.received:
			time.Sleep(time.Until(next.due))
			if len(next.bytes) == 0 {
				c.received <- next // for the next call
				return 0, next.err
			}
			c.rest = next.bytes
			if next.err != nil {
				c.received <- packet{due: next.due, err: next.err}
			}
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *delayedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
