//go:build unix

package signame

import (
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The real-time signals of Linux, without the two that the C library uses itself.
const (
	rtMin = 34
	rtMax = 64
)

func nameOf(sig os.Signal) string {
	number, ok := sig.(syscall.Signal)
	switch {
	case !ok:
		return ""
	case runtime.GOOS == "linux" && number == rtMin:
		return "SIGRTMIN"
	case runtime.GOOS == "linux" && number > rtMin && number <= rtMax:
		return "SIGRTMIN+" + strconv.Itoa(int(number-rtMin))
	}
	return unix.SignalName(number)
}
