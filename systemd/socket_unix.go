//go:build unix

package systemd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// checkListens returns an error unless f is a socket that listens for connections.
func checkListens(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var listens int
	var failure error
	err = raw.Control(func(fd uintptr) {
		listens, failure = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	})
	if err := errors.Join(err, os.NewSyscallError("getsockopt", failure)); err != nil {
		return err
	}
	if listens == 0 {
		return errors.New("it does not listen for connections: want ListenStream= and Accept=no")
	}
	return nil
}
