//go:build linux

package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
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

// RemoveCgroups kills the processes in the cgroups of a run, as far as there are any, and
// removes the cgroups. It waits for the ends of the processes, for 10 s at most.
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
		killCgroup(path)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func killCgroup(path string) {
	text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs")) // it may have been removed meanwhile
	for line := range strings.FieldsSeq(string(text)) {
		// A process of another PID namespace is 0, which for kill means the own process group.
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
