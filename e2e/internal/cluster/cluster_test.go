//go:build linux

package cluster

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// insideEnv has the folder of the programs and that of the cluster in the process that is in the
// namespaces.
const insideEnv = "SHUTDOWN_E2E_CLUSTER"

func TestAClusterRunsAPodAndLeavesNothing(t *testing.T) {
	if inside := filepath.SplitList(os.Getenv(insideEnv)); len(inside) == 2 {
		runAPod(t, inside[0], inside[1])
		return
	}
	if os.Getenv("E2E") == "" {
		t.Skip("E2E is not set: this test needs root, installs packages and compiles Kubernetes, in five minutes or more")
	}
	require.NoError(t, Install(t.Context(), os.Stderr))
	bin, err := Build(t.Context(), os.Stderr)
	require.NoError(t, err)
	dir := t.TempDir()
	before := machine(t, dir)

	program, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", // the shell is PID 1, and reaps orphans
		`mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /run && "$@"; exit $?`,
		"sh", program, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), insideEnv+"="+bin+string(filepath.ListSeparator)+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS |
		syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	out, err := cmd.CombinedOutput()
	if err == nil {
		require.Equal(t, before, machine(t, dir))
	}
	require.NoError(t, Clean(dir))
	require.NoError(t, err, "%s", out)
	require.Equal(t, before, machine(t, dir))
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "log")}, files)
}

// runAPod runs a pod in a cluster.
func runAPod(t *testing.T, bin, dir string) {
	c, err := Start(t.Context(), bin, dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Stop()) }()
	require.NoError(t, c.ImportImage(t.Context(), Image{
		Name: "localhost/app:1", Entrypoint: []string{"/bin/app"}, User: "1:1",
		Files: map[string]string{"/bin/app": filepath.Join(bin, "pause")},
	}))
	_, err = c.Kubectl(t.Context(), `
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  securityContext: {runAsNonRoot: true}
  containers: [{name: app, image: "localhost/app:1", imagePullPolicy: Never}]
`, "create", "-f", "-")
	require.NoError(t, err)
	_, err = c.Kubectl(t.Context(), "", "wait", "--for", "condition=Ready", "--timeout", "3m", "pod/app")
	require.NoError(t, err)

	_, err = c.Kubectl(t.Context(), "", "get", "pod", "nosuch")
	require.ErrorContains(t, err, `pods "nosuch" not found`)
	versions, err := c.Versions(t.Context())
	require.NoError(t, err)
	require.Equal(t, Version, versions.Kubernetes)
	for _, version := range []string{versions.Etcd, versions.Containerd, versions.Runc, versions.Kernel} {
		require.NotEmpty(t, version)
	}
	_, err = Start(t.Context(), bin, t.TempDir())
	require.ErrorContains(t, err, "the network namespace is not new: node0 is up")
}

// machine returns what a cluster in dir could change outside of its namespaces.
func machine(t *testing.T, dir string) map[string]string {
	found := map[string]string{}
	for _, pattern := range []string{
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic*", "/proc/sys/kernel/keys/*",
		"/proc/self/mountinfo", "/proc/net/route",
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			found[file] = string(content)
		}
	}
	for _, pattern := range []string{
		"/sys/fs/cgroup/" + cgroupOf(dir), "/sys/fs/cgroup/*/" + cgroupOf(dir),
		"/sys/fs/cgroup/*/kubepods", "/sys/fs/cgroup/*/k8s.io",
		"/var/lib/*", "/var/log/*", "/run/*", "/opt/*", "/usr/libexec/*", "/sys/class/net/*",
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			found[file] = "exists"
		}
	}
	return found
}
