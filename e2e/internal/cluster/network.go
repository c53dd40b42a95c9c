//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The networks are of 198.18.0.0/15, which is for the tests of network devices (RFC 2544).
const (
	nodeAddress = "198.18.0.2"
	podNet      = "198.18.64.0/20"
	serviceNet  = "198.18.128.0/20"
)

// setUpNetwork makes the node's interface, a bridge without ports. The route to the services lets
// the kernel get as far as kube-proxy's rules, which rewrite the address of each packet; what they
// do not rewrite gets no answer.
func (c *Cluster) setUpNetwork(ctx context.Context) error {
	if _, err := c.run(ctx, `
		link set lo up
		link add node0 type bridge
		address add `+nodeAddress+`/24 dev node0
		link set node0 up
		route add `+serviceNet+` dev node0 src `+nodeAddress+`
	`, "ip", "-batch", "-"); err != nil {
		return err
	}
	if err := setKernelParameter("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	// Packets between two pods cross a bridge, and have to pass kube-proxy's rules there, too.
	err := setKernelParameter("net/bridge/bridge-nf-call-iptables", "1")
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: the kernel module br_netfilter is not loaded", err)
	}
	return err
}

// setKernelParameter sets a parameter of the network namespace.
func setKernelParameter(name, value string) error {
	f, err := os.OpenFile(filepath.Join("/proc/sys", name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}
