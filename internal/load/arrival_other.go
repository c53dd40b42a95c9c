//go:build !linux

package load

import (
	"net"
	"time"
)

func sinceArrival(net.Conn) time.Duration { return 0 }
