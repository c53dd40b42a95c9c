package listener

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxPending is longer than any accept queue.
const maxPending = 1 << 16

// stop takes the connections from the accept queue and makes the kernel refuse all
// further ones. It does so on one thread without yielding: while another goroutine is
// scheduled, such as the accept loop, clients that dial would have their SYN dropped
// and wait for one second. If gap is not 0, stop first drops SYNs, and goes on
// accepting for that long. With 0, the caller has dropped them.
//
// It reports false if the queue cannot be emptied now, for lack of file descriptors
// for example. Then the kernel does not refuse connections.
func (l *Listener) stop(gap time.Duration) (stopped bool) {
	l.keepSpare() // before all file descriptors are in use
	var fds []int
	_ = l.socket.Control(func(fd uintptr) { // an error means that it is closed, which the caller will see
		ln := int(fd)
		var err error
		var dropped time.Time // since when SYNs are dropped
		fds, err = take(ln, gap, func() bool {
			l.dropping.Store(true) // before any connection can inherit it
			ok := dropSYN(ln)
			dropped = time.Now()
			return ok
		})
		if err == nil {
			l.stopping.Store(true) // before Accept calls fail
			_ = unix.Shutdown(ln, unix.SHUT_RD)
			stopped = true
		}
		if gap > 0 {
			l.synGap = time.Since(dropped)
		}
	})
	for _, fd := range fds {
		l.pending.add(os.NewFile(uintptr(fd), "")) //nolint:gosec // a file descriptor is not negative
	}
	if stopped {
		close(l.stopped)
	}
	return stopped
}

// take accepts all connections in the queue, calls drop, which drops SYNs, and goes on
// accepting for the duration of gap. If gap is 0, it does not call drop.
func take(ln int, gap time.Duration, drop func() bool) (fds []int, err error) {
	fds, err = acceptAll(ln, nil)
	if gap == 0 || !drop() {
		return fds, err
	}
	// It does not sleep, because the thread might resume late. The scheduler may still
	// suspend it at any point, so it reads the clock first: a connection that has arrived
	// by then is accepted.
	for end, over := time.Now().Add(gap), false; err == nil && !over; {
		over = !time.Now().Before(end)
		fds, err = acceptAll(ln, fds)
	}
	return fds, err
}

// acceptAll appends the connections in the queue to fds.
func acceptAll(ln int, fds []int) ([]int, error) {
	for len(fds) < maxPending {
		fd, _, err := unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			fds = append(fds, fd)
		case errors.Is(err, unix.EAGAIN):
			return fds, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		default:
			return fds, err
		}
	}
	return fds, unix.EMFILE
}

// connOf makes a connection from a pending socket. It returns neither a connection
// nor an error if the client has disconnected. Without a free file descriptor it
// puts the socket back and returns an error.
func (l *Listener) connOf(socket *os.File) (net.Conn, error) {
	conn, err := net.FileConn(socket) // duplicates the file descriptor
	if noDescriptor(err) {
		l.pending.freeSpare()
		conn, err = net.FileConn(socket)
		defer l.keepSpare()
	}
	if noDescriptor(err) {
		l.pending.putBack(socket)
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: err}
	}
	defer l.pending.returned()
	_ = socket.Close()
	if err != nil {
		return nil, nil
	}
	if conn.RemoteAddr() == nil {
		_ = conn.Close()
		return nil, nil
	}
	undoDropSYN(conn)
	if c, ok := conn.(*net.TCPConn); ok { // as package net does in Accept
		switch {
		case l.config.KeepAliveConfig.Enable:
			_ = c.SetKeepAliveConfig(l.config.KeepAliveConfig)
		case l.config.KeepAlive > 0:
			_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: l.config.KeepAlive})
		case l.config.KeepAlive < 0:
			_ = c.SetKeepAlive(false)
		}
	}
	return conn, nil
}

func noDescriptor(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

func (l *Listener) keepSpare() {
	if spare, err := os.Open(os.DevNull); err == nil {
		l.pending.keepSpare(spare)
	}
}
