//go:build linux

package cluster

import (
	"context"
	"io"

	"github.com/gracefulgo/shutdown/e2e/internal/debian"
)

const cniPlugins = "/usr/lib/cni"

// Install installs the Debian packages that a cluster needs, if they are missing. It has to run
// outside of the namespaces of a cluster. What goes for [debian.Install] goes for it.
func Install(ctx context.Context, log io.Writer) error {
	return debian.Install(ctx, log,
		debian.Package{Name: "etcd-server", Program: "etcd", Service: "etcd"},
		debian.Package{Name: "containerd", Program: "containerd", Service: "containerd"},
		debian.Package{Name: "runc", Program: "runc"},
		debian.Package{Name: "containernetworking-plugins", Program: cniPlugins + "/bridge", Service: "cni-dhcp.socket"},
		debian.Package{Name: "iptables", Program: "iptables"},
		debian.Package{Name: "iproute2", Program: "ip"},
	)
}
