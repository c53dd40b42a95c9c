//go:build linux

package cluster

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/gracefulgo/shutdown/e2e/internal/machine"
)

// cgroup is the control group of all pods.
const cgroup = machine.CgroupPrefix + "-kubernetes"

// makeCgroups makes the group in each hierarchy, because the kubelet wants its root to exist in
// all of them: one in version 2, one for each controller in version 1.
func makeCgroups() error {
	all, err := mounts()
	if err != nil {
		return err
	}
	found := false
	for _, m := range all {
		if m.fstype == "cgroup" || m.fstype == "cgroup2" {
			found = true
			if err := os.Mkdir(filepath.Join(m.point, cgroup), 0o755); err != nil {
				return err
			}
		}
	}
	if !found {
		return errors.New("there are no control groups")
	}
	return nil
}
