//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// CgroupPrefix starts the names of all cgroups that a run makes: cgroups have no namespace.
const CgroupPrefix = "shutdown-e2e"

// cgroupRoots is where the hierarchies are: one of version 2, or one for each controller of
// version 1.
var cgroupRoots = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"}

// cgroups returns those that runs have made, without those below.
func cgroups() (dirs []string) {
	for _, root := range cgroupRoots {
		dirs = append(dirs, names(filepath.Join(root, CgroupPrefix+"*"))...)
	}
	return dirs
}

// RemoveCgroups removes the cgroups of a run whose processes have ended or are about to. It
// waits for them, for 10 s at most.
func RemoveCgroups() error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var failed []error
		for _, group := range cgroups() {
			failed = append(failed, removeCgroup(group))
		}
		if err := errors.Join(failed...); err == nil || time.Now().After(end) {
			return err
		}
	}
}

func removeCgroup(group string) error {
	var all []string
	_ = filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() { // it may have been removed meanwhile
			all = append(all, path)
		}
		return nil
	})
	var failed []error
	for _, path := range slices.Backward(all) { // the inner ones first
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			procs, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			failed = append(failed, fmt.Errorf("%w; its processes are %s", err, strings.Fields(string(procs))))
		}
	}
	return errors.Join(failed...)
}
