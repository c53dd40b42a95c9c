package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// Lines wait here until they have been written. A stderr that is not read must not
// prevent that signals are forwarded, or that processes are reaped and killed. Lines
// that do not fit are dropped.
var lines = make(chan string, 256)

// say writes a line to stderr. It does not block.
func say(format string, args ...any) {
	select {
	case lines <- clip.Text(fmt.Sprintf(format, args...)): // a command line may be long
	default:
	}
}

// startSaying starts the goroutine that writes the lines. finish waits until all have
// been written, or for a moment if stderr takes none.
func startSaying() (finish func()) {
	ending, written := make(chan struct{}), make(chan struct{})
	write := func(line string) { fmt.Fprintln(os.Stderr, "shutdown-init: "+line) }
	go func() {
		defer close(written)
		for {
			select {
			case line := <-lines:
				write(line)
			case <-ending:
				if len(lines) == 0 {
					return
				}
			}
		}
	}()
	return func() {
		close(ending)
		for range 10 {
			select {
			case <-written:
				return
			case <-time.After(200 * time.Millisecond):
			}
			if !takesMore(2) {
				return
			} // else this process was not scheduled
		}
	}
}

// takesMore reports whether a write would not block.
func takesMore(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(poll, 0)
	return err != nil || n > 0
}
