//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// hiddenFolders are folders of the machine that are hidden in the cluster's mount namespace.
// Mounts in them are the cluster's.
var hiddenFolders = []string{"/run", "/var/lib", "/var/log"}

// kernelParameters are those that the kubelet sets at its start although they are not part of
// any namespace.
var kernelParameters = []string{
	"vm/overcommit_memory", "vm/panic_on_oom",
	"kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// hideKernelParameters puts copies in the place of kernelParameters, so that the machine's do not
// change, whatever becomes of this process.
func (c *Cluster) hideKernelParameters(context.Context) error {
	for _, name := range kernelParameters {
		parameter := filepath.Join("/proc/sys", name)
		value, err := os.ReadFile(parameter)
		if err != nil {
			return err
		}
		private := filepath.Join(c.state, "sys", name)
		if err := os.MkdirAll(filepath.Dir(private), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(private, value, 0o644); err != nil {
			return err
		}
		if err := bind(private, parameter); err != nil {
			return err
		}
	}
	return nil
}

// bind shows the file or folder source in the place of target.
func bind(source, target string) error {
	if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", source, target, err)
	}
	return nil
}

// unmount undoes all mounts that the cluster has made, so that its files can be removed.
func unmount() error {
	all, err := mounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(all) { // the newest first
		if m.isOurs() {
			if err := syscall.Unmount(m.point, syscall.MNT_DETACH); err != nil {
				errs = append(errs, fmt.Errorf("unmounting %s: %w", m.point, err))
			}
		}
	}
	return errors.Join(errs...)
}

// isOurs reports whether the cluster has made the mount. The one on /run is the caller's.
func (m mount) isOurs() bool {
	for _, folder := range hiddenFolders {
		if strings.HasPrefix(m.point, folder+"/") || m.point == folder && folder != "/run" {
			return true
		}
	}
	name, ok := strings.CutPrefix(m.point, "/proc/sys/")
	return ok && slices.Contains(kernelParameters, name)
}

// A mount is a line of /proc/self/mountinfo.
type mount struct {
	point  string
	shared bool
	fstype string
}

// mounts returns the mounts of this namespace, in the order in which they were made.
func mounts() ([]mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mount
	for line := range strings.Lines(string(text)) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 6 {
			return nil, fmt.Errorf("/proc/self/mountinfo has the line %q", line)
		}
		fstype, _, _ := strings.Cut(after, " ")
		all = append(all, mount{
			point:  unescape.Replace(fields[4]),
			shared: slices.ContainsFunc(fields[6:], func(f string) bool { return strings.HasPrefix(f, "shared:") }),
			fstype: fstype,
		})
	}
	return all, nil
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
