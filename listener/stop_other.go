//go:build !linux

package listener

import (
	"net"
	"os"
	"time"
)

// stop would make the kernel refuse clients while those that are connected are
// kept; only Linux can.
func (l *Listener) stop(time.Duration) bool { return false }

func (l *Listener) connOf(*os.File) (net.Conn, error) { return nil, nil }
