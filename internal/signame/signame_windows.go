package signame

import (
	"os"
	"syscall"
)

func nameOf(sig os.Signal) string {
	number, _ := sig.(syscall.Signal) // 0 has no name
	return windowsNames[int(number)]
}
