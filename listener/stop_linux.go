package listener

import (
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxCaught is more than any queue has.
const maxCaught = 1 << 16

// stop makes the kernel refuse clients and takes over those that are connected, in
// one go and on one thread: a goroutine that has to be scheduled in between, be it
// the accept loop's, costs those who dial meanwhile a second. It drops SYNs first,
// and goes on accepting for so long; 0 is for when they have been dropped before.
//
// It reports false, and the kernel refuses nobody, if what waits cannot be
// accepted now, because there are no descriptors left, say.
func (l *Listener) stop(window time.Duration) (stopped bool) {
	l.keepSpare() // before all descriptors are in use
	var fds []int
	_ = l.socket.Control(func(fd uintptr) { // an error: it is closed, as the caller will see
		ln := int(fd)
		var err error
		var deaf time.Time // since when SYNs are dropped
		fds, err = take(ln, window, func() bool {
			l.dropping.Store(true) // before any connection can inherit it
			ok := dropSYN(ln)
			deaf = time.Now()
			return ok
		})
		if err == nil {
			l.stopping.Store(true) // before Accept calls hear of it
			_ = unix.Shutdown(ln, unix.SHUT_RD)
			stopped = true
		}
		if window > 0 {
			l.deaf = time.Since(deaf)
		}
	})
	for _, fd := range fds {
		l.caught.add(os.NewFile(uintptr(fd), "")) //nolint:gosec // a file descriptor is no negative number
	}
	if stopped {
		close(l.stopped)
	}
	return stopped
}

// take accepts who waits, has drop drop SYNs, and goes on accepting for so long; 0 is
// for when they have been dropped before.
func take(ln int, window time.Duration, drop func() bool) (fds []int, err error) {
	fds, err = acceptAll(ln, nil)
	if window == 0 || !drop() {
		return fds, err
	}
	// Not asleep: who gives up the thread may get it back late. It may be taken away as
	// well, so the clock comes first: whoever has come by the time it shows is accepted.
	for end, over := time.Now().Add(window), false; err == nil && !over; {
		over = !time.Now().Before(end)
		fds, err = acceptAll(ln, fds)
	}
	return fds, err
}

// acceptAll appends what waits in the queue.
func acceptAll(ln int, fds []int) ([]int, error) {
	for len(fds) < maxCaught {
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

// connOf makes a connection of a socket that was caught. It returns neither one
// nor an error if the client has gone. If there is no descriptor for it, the
// socket is kept.
func (l *Listener) connOf(socket *os.File) (net.Conn, error) {
	conn, err := net.FileConn(socket) // which has a descriptor of its own
	if noDescriptor(err) {
		l.caught.freeSpare()
		conn, err = net.FileConn(socket)
		defer l.keepSpare()
	}
	if noDescriptor(err) {
		l.caught.takeBack(socket)
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: err}
	}
	defer l.caught.handedOut()
	_ = socket.Close()
	if err != nil {
		return nil, nil
	}
	if conn.RemoteAddr() == nil {
		_ = conn.Close()
		return nil, nil
	}
	undoDropSYN(conn)
	if c, ok := conn.(*net.TCPConn); ok { // as Accept does
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
		l.caught.keepSpare(spare)
	}
}
