package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// What is said waits here until it has been written. A stderr that nobody reads
// any more must not keep a signal from being forwarded, nor anybody from being
// reaped or killed; lines that find no room are dropped.
var lines = make(chan string, 256)

// say writes a line to stderr. It does not block.
func say(format string, args ...any) {
	select {
	case lines <- clip.Text(fmt.Sprintf(format, args...)): // a command may be as long as a page
	default:
	}
}

// startSaying begins to write. finish waits until everything has been written,
// for a moment only if stderr takes nothing.
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
			} // else it is this process that did not run
		}
	}
}

func takesMore(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(poll, 0)
	return err != nil || n > 0
}
