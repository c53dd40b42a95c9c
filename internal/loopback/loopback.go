// Package loopback has addresses for the listeners of this module's tests.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"runtime"
)

// Host is an address of this host, on Linux, which has so many, one that nobody
// else uses. On a shared one a port that has been closed may be a stranger's at
// once, and who dials it to see whether it is closed, or repeats a SYN, is
// answered.
func Host() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.N(254), rand.N(256), 1+rand.N(254))
}

// Addr is a port of a Host, which the kernel chooses.
func Addr() string { return Host() + ":0" }
