//go:build linux

// The program pause is the process of a pod's sandbox. It keeps the pod's network namespace
// alive, and is its PID 1 if the pod's containers share a PID namespace. It imports nothing
// but the standard library, because Build compiles it outside of this module.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for { // one signal may stand for several children
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
