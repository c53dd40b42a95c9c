//go:build !processgroup

package process

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// canBeStartedAgain refuses where /proc/self/exe is another program, with us as
// a library in it.
func canBeStartedAgain() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, setting := range info.Settings {
		if setting.Key == "-buildmode" && !strings.HasSuffix(setting.Value, "exe") && setting.Value != "pie" {
			return fmt.Errorf("process: a tree needs a program of its own for its reaper, and this one is built with -buildmode=%s", setting.Value)
		}
	}
	return nil
}
