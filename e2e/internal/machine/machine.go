//go:build linux

// Package machine compares what a run must leave as it was.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Mark is a variable that a run sets in its environment, to find the processes that it
// has left.
const Mark = "SHUTDOWN_E2E_RUN"

// A State has lines by what they are about: routes, rules, ...
type State map[string][]string

// Now returns the state of the machine.
func Now(ctx context.Context) (State, error) {
	s := make(State)
	var failed []error
	command := func(about, name string, args ...string) {
		if _, err := exec.LookPath(name); err != nil {
			return // there can be nothing that it would show
		}
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", about, err))
			return
		}
		s.add(about, string(out))
	}
	command("interfaces", "ip", "-o", "addr")
	command("routes", "ip", "route", "show", "table", "all")
	command("rules", "ip", "rule")
	command("nftables", "nft", "-s", "list", "ruleset")
	command("iptables", "iptables", "-S")
	command("iptables nat", "iptables", "-t", "nat", "-S")
	s["network namespaces"] = names("/run/netns/*")
	s["cgroups"] = cgroups()
	for _, pattern := range folders {
		s["folders"] = append(s["folders"], names(pattern)...)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	failed = append(failed, err)
	s.add("mounts", string(mounts))
	s["sysctls"] = sysctls()
	return s, errors.Join(failed...)
}

func (s State) add(about, text string) {
	for line := range strings.Lines(text) {
		// Without what changes by itself, as the lifetime of an address does.
		line, _, _ = strings.Cut(strings.TrimSpace(line), " valid_lft ")
		line, _, _ = strings.Cut(line, " expires ")
		s[about] = append(s[about], line)
	}
}

// Difference says what other has more or less than s, a line each.
func (s State) Difference(other State) (lines []string) {
	for about := range other {
		for _, line := range other[about] {
			if !slices.Contains(s[about], line) {
				lines = append(lines, fmt.Sprintf("%s: new: %s", about, line))
			}
		}
		for _, line := range s[about] {
			if !slices.Contains(other[about], line) {
				lines = append(lines, fmt.Sprintf("%s: gone: %s", about, line))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// Left returns the processes, this one excepted, whose environment has the variable
// [Mark] with this value.
func Left(value string) (processes []string) {
	want := Mark + "=" + value
	for _, path := range names("/proc/[0-9]*") {
		pid := filepath.Base(path)
		if pid == fmt.Sprint(os.Getpid()) {
			continue
		}
		env, err := os.ReadFile(path + "/environ")
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), want) {
			continue // it has ended, or is not ours
		}
		command, _ := os.ReadFile(path + "/cmdline")
		processes = append(processes, pid+" "+strings.ReplaceAll(string(command), "\x00", " "))
	}
	return processes
}

// folders is where daemons make folders of their own.
var folders = []string{"/opt/*", "/usr/libexec/*", "/var/lib/*", "/var/log/*"}

// Only sysctls of these directories can be changed by what runs here. Others, such as
// those of fs and kernel/random, change by themselves.
var sysctlPatterns = []string{
	"/proc/sys/vm/*", "/proc/sys/kernel/*",
	"/proc/sys/net/core/*", "/proc/sys/net/ipv4/*", "/proc/sys/net/ipv4/conf/*/*",
	"/proc/sys/net/ipv6/conf/*/*", "/proc/sys/net/bridge/*", "/proc/sys/net/netfilter/*",
}

// changing are sysctls that change by themselves, or when anything runs.
var changing = []string{
	"kernel/ns_last_pid", "kernel/pty/nr", "kernel/tainted", "netfilter/nf_conntrack_count",
	"vm/drop_caches", "kernel/sched_",
	"net/netfilter/", "net/bridge/", // they appear with kernel modules that are loaded
}

func sysctls() (lines []string) {
	for _, pattern := range sysctlPatterns {
		for _, path := range names(pattern) {
			if slices.ContainsFunc(changing, func(part string) bool { return strings.Contains(path, part) }) {
				continue
			}
			value, err := os.ReadFile(path)
			if err == nil { // some cannot be read
				lines = append(lines, path+" = "+strings.Join(strings.Fields(string(value)), " "))
			}
		}
	}
	return lines
}

func names(pattern string) []string {
	paths, _ := filepath.Glob(pattern) // the patterns are right
	return paths
}
