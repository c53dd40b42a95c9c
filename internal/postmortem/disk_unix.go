//go:build unix && !aix

package postmortem

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// lockFile takes a lock that excludes every other open file, in this process
// too, and is not inherited through exec.
func lockFile(path string) (io.Closer, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a file descriptor is an int
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
