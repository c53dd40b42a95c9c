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

// An order is every later one.
type order struct {
	Go     bool // the program knows the child; it may be reaped
	Stop   bool
	Kill   bool
	Signal syscall.Signal
	Grace  time.Duration
}

// An answer comes from the reaper.
type answer struct {
	Started int           // the child's pid
	Errno   syscall.Errno // why it was not started
	Doing   string        // and what was being done
	Event   *reaper.Event
	Done    *reaper.Result // nobody is left, or the reaper gives up: it ends
}

// A link is one end of the socket.
type link struct {
	file *os.File
	dec  *json.Decoder

	mu     sync.Mutex // one message at a time
	unsent []byte     // what found no room: half a message would spoil the next
}

func newLink(file *os.File) *link { return &link{file: file, dec: json.NewDecoder(file)} }

// writeBound is for an other end that is stopped, with its buffer full.
const writeBound = time.Second

// send gives up when it has been waiting for bound; what has not been sent then
// comes before the next message.
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

// sendNow sends what there is room for. On a machine that stalls a deadline may be
// over before the first try, and an order that had room would wait for the next.
func (l *link) sendNow() {
	_ = l.file.SetWriteDeadline(time.Time{})
	raw, err := l.file.SyscallConn()
	if err != nil {
		return // Write will say it
	}
	_ = raw.Write(func(fd uintptr) bool {
		if n, _ := unix.Write(int(fd), l.unsent); n > 0 {
			l.unsent = l.unsent[n:]
		}
		return true
	})
}

// receive returns io.EOF when the other end is gone.
func (l *link) receive(message any) error {
	err := l.dec.Decode(message)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "reaper"), os.NewFile(uintptr(fds[1]), "program"), nil
}
