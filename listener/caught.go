package listener

import (
	"os"
	"sync"
)

// caught are the sockets that stop has accepted, for Accept to hand out.
type caught struct {
	mu      sync.Mutex // protects what follows
	sockets []*os.File
	closed  bool
}

// add takes a socket over.
func (c *caught) add(socket *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = socket.Close()
		return
	}
	c.sockets = append(c.sockets, socket)
}

// take returns nil if there is none.
func (c *caught) take() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sockets) == 0 {
		return nil
	}
	socket := c.sockets[0]
	c.sockets = c.sockets[1:]
	return socket
}

func (c *caught) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sockets)
}

// close closes what nobody has taken.
func (c *caught) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, socket := range c.sockets {
		_ = socket.Close()
	}
	c.sockets = nil
}
