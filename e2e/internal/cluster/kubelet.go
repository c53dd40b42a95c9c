//go:build linux

package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

const (
	nodeName      = "node1"
	volumePlugins = "/var/lib/kubelet/volume-plugins" // instead of a folder in /usr/libexec, which would be made
)

func (c *Cluster) startKubelet(ctx context.Context) error {
	config, err := c.writeJSON("kubelet.json", object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address":                  nodeAddress,
		"authentication":           object{"anonymous": object{"enabled": true}, "webhook": object{"enabled": false}},
		"authorization":            object{"mode": "AlwaysAllow"},
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/" + cgroup,
		"failCgroupV1":             false,
		"enforceNodeAllocatable":   []string{}, // the machine is not the node's alone
		"failSwapOn":               false,
		"oomScoreAdj":              0, // less would need CAP_SYS_RESOURCE
		"resolvConf":               "",
		"volumePluginDir":          volumePlugins,
		// No pod is evicted and no image removed because the machine's disk is full of other files.
		"localStorageCapacityIsolation": false,
		"imageGCHighThresholdPercent":   100,
		"evictionHard": object{
			"memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.available": "0%", "imagefs.inodesFree": "0%",
		},
		"nodeStatusUpdateFrequency": "5s",
		"syncFrequency":             "5s",
	})
	if err != nil {
		return err
	}
	return c.startDaemon(ctx, func(ctx context.Context) error {
		ready, err := c.Kubectl(ctx, "", "get", "node", nodeName, "--request-timeout", "5s",
			"--output", `jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.message}{end}`)
		if err == nil && !strings.HasPrefix(ready, "True") {
			err = fmt.Errorf("the condition Ready of the node is %q", ready)
		}
		return err
	}, filepath.Join(c.bin, "kubelet"),
		"--config", config, "--kubeconfig", c.path("kubeconfig"),
		"--hostname-override", nodeName, "--node-ip", nodeAddress,
		"--cert-dir", c.path("pki/kubelet"))
}

func (c *Cluster) startProxy(ctx context.Context) error {
	config, err := c.writeJSON("kube-proxy.json", object{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode":             "iptables",
		"hostnameOverride": nodeName,
		"clientConnection": object{"kubeconfig": c.path("kubeconfig")},
		"clusterCIDR":      podNet,
		// Zero leaves the parameters of connection tracking as they are. They are the machine's.
		"conntrack":   object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
		"oomScoreAdj": 0,
	})
	if err != nil {
		return err
	}
	return c.startDaemon(ctx, isOK("http://127.0.0.1:10256/healthz"),
		filepath.Join(c.bin, "kube-proxy"), "--config", config)
}
