package listener

import (
	"os"
	"sync"
)

// pending holds the sockets that stop has accepted and Accept has not returned yet.
type pending struct {
	mu        sync.Mutex // protects what follows
	sockets   []*os.File
	returning int // taken by Accept, which has not returned them yet
	closed    bool
	spare     *os.File // a file descriptor to release when there are no others: see connOf
}

func (p *pending) add(socket *os.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addLocked(socket)
}

func (p *pending) addLocked(socket *os.File) {
	if p.closed {
		_ = socket.Close()
		return
	}
	p.sockets = append(p.sockets, socket)
}

// take returns nil if there is no socket. The caller has to call either returned or
// putBack.
func (p *pending) take() *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sockets) == 0 {
		return nil
	}
	socket := p.sockets[0]
	p.sockets = p.sockets[1:]
	p.returning++
	return socket
}

func (p *pending) returned() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.returning--
}

func (p *pending) putBack(socket *os.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.returning--
	p.addLocked(socket)
}

// len returns how many sockets Accept has not returned.
func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sockets) + p.returning
}

// keepSpare keeps a file descriptor in reserve. It closes it if there is one already.
func (p *pending) keepSpare(spare *os.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.spare != nil {
		_ = spare.Close()
		return
	}
	p.spare = spare
}

// freeSpare releases the file descriptor in reserve, so that another can be opened.
func (p *pending) freeSpare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spare != nil {
		_ = p.spare.Close()
		p.spare = nil
	}
}

// close closes the sockets that Accept has not taken.
func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, socket := range p.sockets {
		_ = socket.Close()
	}
	p.sockets = nil
	if p.spare != nil {
		_ = p.spare.Close()
		p.spare = nil
	}
}
