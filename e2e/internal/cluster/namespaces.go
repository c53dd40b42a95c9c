//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
)

// checkNamespaces checks that the process has namespaces of its own. Without them a cluster
// would change the machine's network and leave its daemons and mounts behind.
func checkNamespaces() error {
	if os.Geteuid() != 0 {
		return errors.New("it has to run as root")
	}
	for _, ns := range []struct{ name, initial string }{
		// The kernel numbers the first ones, in include/linux/proc_ns.h.
		{"pid", "pid:[4026531836]"}, {"ipc", "ipc:[4026531839]"}, {"uts", "uts:[4026531838]"},
	} {
		switch link, err := os.Readlink("/proc/self/ns/" + ns.name); {
		case err != nil:
			return err
		case link == ns.initial:
			return fmt.Errorf("the %s namespace is the machine's", ns.name)
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return fmt.Errorf("the network namespace is not new: %s is up", i.Name)
		}
	}
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.shared {
			return fmt.Errorf("the mount on %s is shared with another mount namespace", m.point)
		}
	}
	if !slices.ContainsFunc(all, func(m mount) bool { return m.point == "/run" && m.fstype == "tmpfs" }) {
		return errors.New("there is no tmpfs on /run")
	}
	for _, folder := range []string{"/run/containerd", "/run/netns"} {
		switch _, err := os.Stat(folder); {
		case err == nil:
			return fmt.Errorf("the tmpfs on /run is not new: there is %s", folder)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}
