//go:build linux

package cluster

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupOf returns the name of the control group of all pods of the cluster in dir. It is a
// function of dir, so that Clean can find what a cluster has left. Clusters in different folders
// do not meet.
func cgroupOf(dir string) string {
	return fmt.Sprintf("shutdown-e2e-%x", sha256.Sum256([]byte(dir)))[:24]
}

// makeCgroups makes a group in each hierarchy, because the kubelet wants its root to exist in
// all of them.
func makeCgroups(name string) error {
	groups, err := cgroups(name)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if err := os.Mkdir(group, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups kills all processes in the group, and removes it with all groups below.
func removeCgroups(name string) error {
	groups, err := cgroups(name)
	if err != nil {
		return err
	}
	for end := time.Now().Add(killPatience); ; time.Sleep(20 * time.Millisecond) {
		var errs []error
		for _, group := range groups {
			errs = append(errs, removeCgroup(group))
		}
		// A process that has been killed needs a moment to end, and its group is busy until then.
		if err := errors.Join(errs...); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// cgroups returns the folder of the group in each hierarchy: one in version 2, one for each
// controller in version 1.
func cgroups(name string) ([]string, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, m := range all {
		if m.fstype == "cgroup" || m.fstype == "cgroup2" {
			groups = append(groups, filepath.Join(m.point, name))
		}
	}
	if len(groups) == 0 {
		return nil, errors.New("there are no control groups")
	}
	return groups, nil
}

func removeCgroup(group string) error {
	var all []string
	if err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	var errs []error
	for _, g := range slices.Backward(all) { // the lowest first
		killCgroup(g)
		if err := os.Remove(g); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// killCgroup kills the processes in the group, as far as there are any.
func killCgroup(group string) {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return
	}
	for line := range strings.FieldsSeq(string(text)) {
		// A process of another PID namespace is 0, which for kill means the own process group.
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
