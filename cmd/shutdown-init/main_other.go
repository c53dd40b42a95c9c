//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "shutdown-init: only Linux gives an init the orphans of its descendants")
	os.Exit(2)
}
