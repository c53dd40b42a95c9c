//go:build unix

package drill

import (
	"os"
	"syscall"

	"github.com/gracefulgo/shutdown/internal/signame"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// endedBy returns the name of the signal that ended the process, or "".
func endedBy(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signame.Name(status.Signal())
	}
	return ""
}
