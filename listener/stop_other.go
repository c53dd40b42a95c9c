//go:build !linux

package listener

import (
	"net"
	"os"
	"time"
)

// stop would make the kernel refuse connections and keep those in the queue; only
// Linux can.
func (l *Listener) stop(time.Duration) bool { return false }

func (l *Listener) connOf(*os.File) (net.Conn, error) { return nil, nil }
