// Package cluster runs a Kubernetes cluster of one node on this machine, for tests.
//
// Install installs the Debian packages that a node needs, Build compiles Kubernetes from its Go
// module, and Start starts the daemons: etcd, the API server, the controller manager, the
// scheduler, containerd, the kubelet and kube-proxy. There is no registry and no route to one:
// images are made by Cluster.ImportImage, and pods use them with imagePullPolicy Never.
//
// # Namespaces
//
// Start and everything after it run as root in new network, mount, PID, IPC and UTS
// namespaces, which the caller makes for one cluster, with private mount propagation and a new
// tmpfs on /run:
//
//	unshare -n -m -p -i -u --fork --mount-proc --propagation private \
//		sh -c 'mount -t tmpfs tmpfs /run && program; exit $?'
//
// The network namespace is the node's network. It has no uplink, so nothing can leave the
// machine. When the PID namespace ends, so do all daemons and containers, and mounts, network
// interfaces and packet filters go with the other namespaces. PID 1 of the namespace must reap
// orphans, because containerd's shims become its children; it must leave the children that it
// has started itself to os/exec.
//
// Two things would be outside of the namespaces. The kubelet sets kernel parameters that are
// not part of a namespace; here it sets copies that only this mount namespace sees. And
// control groups outlive the processes in them; Stop removes them, and machine.RemoveCgroups does
// if the program was killed before it could call Stop.
package cluster
