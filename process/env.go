package process

import (
	"os"
	"os/exec"
	"slices"
	"strings"
)

// reaperEnv is set in the environment of a reaper, to the number of the
// descriptor that leads to the program.
const reaperEnv = "SHUTDOWN_PROCESS_REAPER"

// ownEnv configures package shutdown in this program. SHUTDOWN_PRESTOP_TOKEN is a
// secret that starts its shutdown.
var ownEnv = []string{"SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP", "SHUTDOWN_PRESTOP_TOKEN"}

// childEnv returns the environment of cmd without the entries that are meant for
// this program. An entry whose value differs from this program's was chosen for
// the child and stays.
func childEnv(cmd *exec.Cmd) []string {
	return slices.DeleteFunc(cmd.Environ(), func(entry string) bool {
		key, value, _ := strings.Cut(entry, "=")
		own, has := os.LookupEnv(key)
		return key == reaperEnv || slices.Contains(ownEnv, key) && has && value == own
	})
}
