//go:build linux

// Package debian installs packages of a Debian machine.
package debian

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

// Path is the search path of everything that the end-to-end test runs. The caller's PATH may
// lack /usr/sbin.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A Package is missing if its program is.
type Package struct {
	Name    string
	Program string
	Service string // that its installation starts; "" means none
}

// Install installs those packages that are missing, and starts no services. If a package
// conflicts with one that is installed, such as another distributor's containerd, it fails and
// changes nothing. It has to run as root. It blocks until apt-get ends, whose output goes to
// log.
func Install(ctx context.Context, log io.Writer, packages ...Package) error {
	var missing, services []string
	for _, p := range packages {
		if _, err := Find(p.Program); err == nil {
			continue
		}
		missing = append(missing, p.Name)
		if p.Service != "" {
			services = append(services, p.Service)
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

// Find returns the path of a program.
func Find(program string) (string, error) {
	if filepath.IsAbs(program) {
		_, err := os.Stat(program)
		return program, err
	}
	for _, folder := range filepath.SplitList(Path) {
		if _, err := os.Stat(filepath.Join(folder, program)); err == nil {
			return filepath.Join(folder, program), nil
		}
	}
	return "", fmt.Errorf("there is no %s in %s", program, Path)
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
	systemctl, err := Find("systemctl")
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
