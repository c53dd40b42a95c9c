package systemd

import (
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/gracefulgo/shutdown/listener"
)

// Listeners returns the sockets that systemd has passed to this process, by name: that of
// the socket unit ("app.socket"), or its FileDescriptorName. A name has several if its unit
// lists several addresses, or if several units share it, in the order of the addresses.
//
// They are listeners as [listener.Shared] returns them. systemd keeps the sockets open, so
// draining or closing a listener refuses no client: connections that are made meanwhile
// wait for the next start of the service. Give them to httpserver.Serve or to Serve of a
// grpcserver.
//
// Each socket must listen for streams. A datagram socket, a FIFO, a connection (Accept=yes)
// or a descriptor from the file descriptor store is an error that has its name; then all
// are closed. A program that takes those uses package activation of go-systemd, and Shared.
//
// Listeners does not block. The first call takes the sockets and unsets LISTEN_PID,
// LISTEN_FDS and LISTEN_FDNAMES, so that child processes do not take them. A second call,
// and one in a process without sockets from systemd, returns an empty map and no error. That
// is so too for a process that a script has started without exec, because the sockets are
// for the script, and with StandardInput=socket. Listeners does not depend on a Manager: call
// it before the servers start.
func Listeners() (map[string][]*listener.Listener, error) {
	files := activation.Files(true)
	defer func() {
		for _, f := range files {
			_ = f.Close() // a listener has a descriptor of its own
		}
	}()
	listeners := make(map[string][]*listener.Listener)
	for _, f := range files {
		ln, err := listen(f)
		if err != nil {
			for _, list := range listeners {
				for _, ln := range list {
					ln.Close()
				}
			}
			return nil, fmt.Errorf("systemd: socket %q: %w", f.Name(), err)
		}
		listeners[f.Name()] = append(listeners[f.Name()], listener.Shared(ln))
	}
	return listeners, nil
}

func listen(f *os.File) (net.Listener, error) {
	// net.FileListener takes a connection for a listener.
	if err := checkListens(f); err != nil {
		return nil, err
	}
	return net.FileListener(f)
}
