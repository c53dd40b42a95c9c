//go:build !processgroup

package process

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

// The program and the reaper send each other JSON messages on a socket: a request,
// then orders, in one direction, and answers in the other. When one of them exits,
// the other sees the end of the socket.

// An order is each message to the reaper after the request.
type order struct {
	Go     bool // the program has opened the child: it may be reaped
	Stop   bool
	Kill   bool
	Signal syscall.Signal
	Grace  time.Duration
}

// An answer comes from the reaper.
type answer struct {
	Started int           // the child's PID
	Errno   syscall.Errno // why it was not started
	Doing   string        // what failed with Errno
	Event   *reaper.Event
	Done    *reaper.Result // no process is left, or the reaper gave up: it exits
}

// A link is one end of the socket.
type link struct {
	file *os.File
	dec  *json.Decoder

	mu     sync.Mutex // one message at a time
	unsent []byte     // the rest of a message that was sent in part
}

func newLink(file *os.File) *link { return &link{file: file, dec: json.NewDecoder(file)} }

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "reaper"), os.NewFile(uintptr(fds[1]), "program"), nil
}

// writeBound limits the wait for a peer that is stopped (SIGSTOP) while the
// socket's buffer is full.
const writeBound = time.Second

// send waits for at most bound. What has not been sent by then is sent before the
// next message.
func (l *link) send(message any, bound time.Duration) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsent = append(append(l.unsent, text...), '\n')
	l.sendNow()
	if len(l.unsent) == 0 {
		return nil
	}
	_ = l.file.SetWriteDeadline(time.Now().Add(bound))
	n, err := l.file.Write(l.unsent)
	l.unsent = l.unsent[n:]
	return err
}

// sendNow sends what fits into the socket's buffer. If the machine stalls, a
// deadline may have passed before the first write, and without this an order that
// fits would be delayed until the next message.
func (l *link) sendNow() {
	_ = l.file.SetWriteDeadline(time.Time{})
	raw, err := l.file.SyscallConn()
	if err != nil {
		return // Write returns the error
	}
	_ = raw.Write(func(fd uintptr) bool {
		if n, _ := unix.Write(int(fd), l.unsent); n > 0 {
			l.unsent = l.unsent[n:]
		}
		return true
	})
}

// receive returns io.EOF when the peer has exited.
func (l *link) receive(message any) error {
	err := l.dec.Decode(message)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
