package process

import (
	"os"
	"os/exec"
	"slices"
	"strings"
)

// reaperEnv tells a program that it was started as the reaper of a tree, and
// which descriptor leads to who started it.
const reaperEnv = "SHUTDOWN_PROCESS_REAPER"

// ownEnv is what configures package shutdown in the program that has it, and the
// secret with which its shutdown can be asked for.
var ownEnv = []string{"SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP", "SHUTDOWN_PRESTOP_TOKEN"}

// childEnv is the environment of cmd, less what is about this program. A value of
// its own, which somebody chose for the child, stays.
func childEnv(cmd *exec.Cmd) []string {
	return slices.DeleteFunc(cmd.Environ(), func(entry string) bool {
		key, value, _ := strings.Cut(entry, "=")
		own, has := os.LookupEnv(key)
		return key == reaperEnv || slices.Contains(ownEnv, key) && has && value == own
	})
}
