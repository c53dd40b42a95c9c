//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// containerdSocket is where ctr expects it.
const containerdSocket = "/run/containerd/containerd.sock"

const pauseImage = "localhost/pause:1"

// containerdConfig has, beside the choices, what the machines need on which the tests run:
// restrict_oom_score_adj, because root may lack CAP_SYS_RESOURCE, and disable_apparmor, because
// there may be no profiles.
const containerdConfig = `version = 2
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "` + cniPlugins + `"
    conf_dir = %q
`

// startContainerd starts containerd, with a network in which each pod reaches the other pods, the
// node and the services.
func (c *Cluster) startContainerd(ctx context.Context) error {
	if err := os.Mkdir(c.path("cni"), 0o755); err != nil {
		return err
	}
	if _, err := c.writeJSON("cni/pods.conflist", object{
		"cniVersion": "0.4.0", "name": "pods",
		"plugins": []object{{
			"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
			"ipam": object{"type": "host-local", "ranges": [][]object{{{"subnet": podNet}}}},
		}, {
			"type": "portmap", "capabilities": object{"portMappings": true},
		}},
	}); err != nil {
		return err
	}
	config := c.path("containerd.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, containerdConfig, c.path("cni")), 0o644); err != nil {
		return err
	}
	if err := c.startDaemon(ctx, func(ctx context.Context) error {
		_, err := c.ctr(ctx, "version")
		return err
	}, "containerd", "--config", config); err != nil {
		return err
	}
	return c.ImportImage(ctx, Image{
		Name:       pauseImage,
		Entrypoint: []string{"/pause"},
		Files:      map[string]string{"/pause": filepath.Join(c.bin, "pause")},
		User:       "65535:65535",
	})
}

// ctr runs the client of containerd in the namespace of the kubelet's containers.
func (c *Cluster) ctr(ctx context.Context, args ...string) (string, error) {
	return c.run(ctx, "", "ctr", append([]string{"--namespace", "k8s.io", "--timeout", "10s"}, args...)...)
}

// killShims kills what containerd leaves when it is killed: a shim for each pod, and programs
// of runc that are creating a container. There are no others in this PID namespace.
func killShims() error {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	for _, link := range links {
		program, err := os.Readlink(link)
		if err != nil {
			continue // it has ended
		}
		if name := filepath.Base(program); name != "runc" && !strings.HasPrefix(name, "containerd-shim") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return nil
}
