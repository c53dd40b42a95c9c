//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Versions are the versions of what a cluster consists of, as the programs themselves say.
type Versions struct {
	Kubernetes string
	Etcd       string
	Containerd string
	Runc       string
	Kernel     string
}

// Versions asks the running daemons for their versions.
func (c *Cluster) Versions(ctx context.Context) (Versions, error) {
	ctx, cancel := c.whileAlive(ctx)
	defer cancel()
	v, err := c.versions(ctx)
	if err != nil {
		return Versions{}, fmt.Errorf("asking for versions: %w", err)
	}
	return v, nil
}

func (c *Cluster) versions(ctx context.Context) (v Versions, err error) {
	out, err := c.Kubectl(ctx, "", "get", "node", nodeName, "--output", "jsonpath={.status.nodeInfo}")
	if err != nil {
		return v, err
	}
	var node struct{ KubeletVersion, ContainerRuntimeVersion, KernelVersion string }
	if err := json.Unmarshal([]byte(out), &node); err != nil {
		return v, err
	}
	v.Kubernetes = strings.TrimPrefix(node.KubeletVersion, "v")
	v.Containerd = strings.TrimPrefix(node.ContainerRuntimeVersion, "containerd://")
	v.Kernel = node.KernelVersion
	answer, err := get(ctx, etcdClients+"/version")
	if err != nil {
		return v, err
	}
	var etcd struct{ Etcdserver string }
	if err := json.Unmarshal(answer, &etcd); err != nil {
		return v, err
	}
	v.Etcd = etcd.Etcdserver
	if out, err = c.run(ctx, "", "runc", "--version"); err != nil {
		return v, err
	}
	first, _, _ := strings.Cut(out, "\n")
	v.Runc = strings.TrimPrefix(first, "runc version ")
	return v, nil
}
