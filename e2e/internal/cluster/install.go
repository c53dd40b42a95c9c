//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// path is the search path of everything that the cluster runs.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const cniPlugins = "/usr/lib/cni"

// packages are the Debian packages that a node needs, each with a program of it.
var packages = []struct{ name, program, service string }{
	{"etcd-server", "etcd", "etcd"},
	{"containerd", "containerd", "containerd"},
	{"runc", "runc", ""},
	{"containernetworking-plugins", cniPlugins + "/bridge", "cni-dhcp.socket"},
	{"iptables", "iptables", ""},
	{"iproute2", "ip", ""},
}

// Install installs the Debian packages that a cluster needs, if their programs are missing, and
// starts no services. If a package conflicts with one that is installed, such as another
// distributor's containerd, it fails and changes nothing. It has to run as root, outside of the
// namespaces of a cluster. It blocks until apt-get ends, whose output goes to log.
func Install(ctx context.Context, log io.Writer) error {
	var missing, services []string
	for _, p := range packages {
		if _, err := find(p.program); err == nil {
			continue
		}
		missing = append(missing, p.name)
		if p.service != "" {
			services = append(services, p.service)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := install(ctx, log, missing, services); err != nil {
		return fmt.Errorf("installing %s: %w", strings.Join(missing, ", "), err)
	}
	return nil
}

// find returns the path of a program. It does not use the caller's PATH, which may lack /usr/sbin.
func find(program string) (string, error) {
	if filepath.IsAbs(program) {
		_, err := os.Stat(program)
		return program, err
	}
	for _, folder := range filepath.SplitList(path) {
		if _, err := os.Stat(filepath.Join(folder, program)); err == nil {
			return filepath.Join(folder, program), nil
		}
	}
	return "", fmt.Errorf("there is no %s in %s", program, path)
}

func install(ctx context.Context, log io.Writer, missing, services []string) error {
	remove, err := forbidServices()
	if err != nil {
		return err
	}
	defer remove()
	for _, args := range [][]string{
		{"update", "-q"},
		append([]string{"install", "-y", "-q", "--no-install-recommends", "--no-remove"}, missing...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = log, log
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // SIGKILL may break the packages
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], errors.Join(context.Cause(ctx), err))
		}
	}
	// The packages also have their services started with the machine.
	systemctl, err := find("systemctl")
	if err != nil || len(services) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, systemctl, append([]string{"disable"}, services...)...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd.Run()
}

// forbidServices has Debian's packages start no services until remove is called. If there is a
// policy already, it stays.
func forbidServices() (remove func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = f.WriteString("#!/bin/sh\nexit 101 # not allowed\n")
	return func() { _ = os.Remove(policy) }, err
}
