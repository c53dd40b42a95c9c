//go:build !linux

package load

import (
	"net"
	"time"
)

func sinceArrival(net.Conn) (since time.Duration, known bool) { return 0, false }
