//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "shutdown-init: it runs on Linux only, where orphans become children of PID 1 or of a subreaper")
	os.Exit(2)
}
