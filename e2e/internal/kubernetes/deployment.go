//go:build linux

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/cluster"
	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

// A deployment is examples/kubernetes/kubernetes.yaml, patched, in a namespace of its own.
type deployment struct {
	*cluster.Cluster
	namespace string
	replicas  int
	address   string // of the Service
	pods      *pods
	unwatch   context.CancelFunc
	log       string // file with the logs of the pods

	// sentTo is how long kube-proxy sent new connections to pods that were leaving.
	sentTo []time.Duration

	unanswered []string // dials that were neither refused nor answered
}

// deploy applies the manifests, and waits until all replicas are ready and the Service
// has an address that kube-proxy knows. patch is of the pods' spec, in YAML of one line; "" means
// none.
func deploy(ctx context.Context, c *cluster.Cluster, dir, namespace string, replicas int, patch string) (*deployment, error) {
	d := &deployment{Cluster: c, namespace: namespace, replicas: replicas, log: filepath.Join(dir, namespace+".log")}
	manifests, err := os.ReadFile("examples/kubernetes/kubernetes.yaml")
	if err != nil {
		return nil, err
	}
	if patch == "" {
		patch = "{}"
	}
	folder := filepath.Join(dir, namespace)
	if err := errors.Join(
		os.Mkdir(folder, 0o755),
		os.WriteFile(filepath.Join(folder, "kubernetes.yaml"), manifests, 0o644),
		os.WriteFile(filepath.Join(folder, "kustomization.yaml"), fmt.Appendf(nil, kustomization, namespace, replicas, patch), 0o644),
	); err != nil {
		return nil, err
	}
	if _, err := c.Kubectl(ctx, "", "create", "namespace", namespace); err != nil {
		return nil, err
	}
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	d.unwatch = unwatch
	d.pods = watchPods(watching, d.stream)
	if _, err := c.Kubectl(ctx, "", "apply", "--kustomize", folder); err != nil {
		return d, err
	}
	if err := d.awaitReady(ctx); err != nil {
		return d, err
	}
	d.address, err = d.kubectl(ctx, "get", "service", "orders", "--output", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return d, err
	}
	return d, awaitService(ctx, d.address)
}

const kustomization = `resources: [kubernetes.yaml]
namespace: %s
patches:
- target: {kind: Deployment}
  patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: orders}
    spec: {replicas: %d, template: {spec: %s}}
`

// kubectl runs kubectl in the namespace.
func (d *deployment) kubectl(ctx context.Context, args ...string) (string, error) {
	return d.Kubectl(ctx, "", append([]string{"--namespace", d.namespace}, args...)...)
}

func (d *deployment) stream(ctx context.Context, w io.Writer, args ...string) error {
	return d.Stream(ctx, w, append([]string{"--namespace", d.namespace}, args...)...)
}

// awaitReady waits until the Deployment is as it is to be.
func (d *deployment) awaitReady(ctx context.Context) error {
	if _, err := d.kubectl(ctx, "rollout", "status", "deployment/orders"); err != nil {
		return fmt.Errorf("%w\n%s", err, d.state())
	}
	return d.pods.awaitReady(ctx, d.replicas)
}

// awaitService waits until kube-proxy sends the Service's connections to pods. It does not dial:
// kube-proxy first removes the rule that refuses connections, and then adds those that send them
// on. A SYN in between makes an entry of conntrack without a pod, and for the next two minutes
// each connection from the same port has "no route to host".
func awaitService(ctx context.Context, address string) error {
	for {
		table, err := natRules(ctx)
		if err != nil {
			return err
		}
		if sendsOn(table, address, traffic.HTTPPort) && sendsOn(table, address, traffic.GRPCPort) {
			return nil
		}
		if err := pause(ctx, rulesEvery); err != nil {
			return fmt.Errorf("waiting for kube-proxy to send connections of %s to pods: %w", address, err)
		}
	}
}

// follow writes the logs of the pods that there are now to a file, until stop is called.
func (d *deployment) follow(ctx context.Context) (stop func(), err error) {
	file, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := d.stream(ctx, file, "logs", "--selector", "app=orders", "--follow", "--prefix", "--tail", "-1",
			"--all-containers", "--max-log-requests", "50")
		if err != nil { // a log that is missing is no problem of the row
			_, _ = fmt.Fprintln(file, err)
		}
	}()
	return func() {
		cancel()
		<-done
		_ = file.Close()
	}, nil
}

// state is what the cluster says about the namespace now.
func (d *deployment) state() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var b strings.Builder
	for _, args := range [][]string{{"get", "events"}, {"describe", "pods"}, {"get", "endpointslices", "--output", "yaml"}} {
		out, err := d.kubectl(ctx, args...)
		fmt.Fprintf(&b, "kubectl %s\n%s\n", strings.Join(args, " "), out)
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	return b.String()
}

// remove lets the namespace go. Its pods end while the next scenario starts.
func (d *deployment) remove(ctx context.Context) error {
	d.unwatch()
	_, err := d.Kubectl(ctx, "", "delete", "namespace", d.namespace, "--wait=false")
	return err
}
