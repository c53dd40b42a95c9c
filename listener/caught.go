package listener

import (
	"os"
	"sync"
)

// caught are the sockets that stop has accepted, for Accept to hand out.
type caught struct {
	mu      sync.Mutex // protects what follows
	sockets []*os.File
	taken   int // and not handed out yet
	closed  bool
	spare   *os.File // a descriptor: see connOf
}

// add takes a socket over.
func (c *caught) add(socket *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(socket)
}

func (c *caught) addLocked(socket *os.File) {
	if c.closed {
		_ = socket.Close()
		return
	}
	c.sockets = append(c.sockets, socket)
}

// take returns nil if there is none. Either handedOut or takeBack comes after it.
func (c *caught) take() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sockets) == 0 {
		return nil
	}
	socket := c.sockets[0]
	c.sockets = c.sockets[1:]
	c.taken++
	return socket
}

func (c *caught) handedOut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken--
}

func (c *caught) takeBack(socket *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken--
	c.addLocked(socket)
}

// len counts those that have not been handed out.
func (c *caught) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sockets) + c.taken
}

// keepSpare keeps a descriptor, or closes it if there is one already.
func (c *caught) keepSpare(spare *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.spare != nil {
		_ = spare.Close()
		return
	}
	c.spare = spare
}

// freeSpare closes it, so that there is a descriptor.
func (c *caught) freeSpare() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spare != nil {
		_ = c.spare.Close()
		c.spare = nil
	}
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
	if c.spare != nil {
		_ = c.spare.Close()
		c.spare = nil
	}
}
