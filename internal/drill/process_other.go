//go:build !unix

package drill

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

func endedBy(*os.ProcessState) string { return "" }
