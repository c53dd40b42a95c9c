//go:build linux

// Package kubernetes stops pods of examples/kubernetes on a cluster of its own, under load:
// by rolling updates, scaling down, deletion, failed probes and lack of memory.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gracefulgo/shutdown/e2e/internal/cluster"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// Part is the part of the end-to-end test.
var Part = parts.Part{
	Name: "kubernetes", Title: "Kubernetes",
	Programs: []string{parts.Library, parts.Naive, parts.PreStop, parts.Job},
	Prepare:  prepare, Measure: measure,
}

// prepare installs and builds a cluster, which needs a network.
func prepare(ctx context.Context) error {
	if err := cluster.Install(ctx, os.Stderr); err != nil {
		return err
	}
	_, err := cluster.Build(ctx, os.Stderr)
	return err
}

func measure(ctx context.Context, env *parts.Env) (table report.Table, err error) {
	bin, err := cluster.Build(ctx, io.Discard) // it has been built
	if err != nil {
		return table, err
	}
	env.Progress.Show("kubernetes: starting the cluster")
	c, err := cluster.Start(ctx, bin, filepath.Join(env.Dir, "cluster"))
	if err != nil {
		return table, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	v, err := c.Versions(ctx)
	if err != nil {
		return table, err
	}
	table.Versions = fmt.Sprintf("Kubernetes %s, one node, kube-proxy with iptables, containerd %s, runc %s", v.Kubernetes, v.Containerd, v.Runc)
	for _, image := range images(env) {
		if err := c.ImportImage(ctx, image); err != nil {
			return table, err
		}
	}
	for n, s := range scenarios {
		if env.Short && !s.short {
			continue
		}
		row, err := s.measure(ctx, c, env, fmt.Sprintf("row-%02d", n+1))
		table.Rows = append(table.Rows, row)
		if err != nil {
			return table, err
		}
	}
	if !env.Short {
		row, err := measureJob(ctx, c, env)
		table.Rows = append(table.Rows, row)
		if err != nil {
			return table, err
		}
	}
	checkControl(table.Rows)
	return table, nil
}

// checkControl makes it a problem if the service without the library loses nothing: then
// the load would not show what the library loses either.
func checkControl(rows []report.Row) {
	var first *report.Row
	lost := 0
	for i := range rows {
		if rows[i].Service != naive {
			continue
		}
		if first == nil {
			first = &rows[i]
		}
		lost += rows[i].Load.Losses() + rows[i].Load.Refused
	}
	if first != nil && lost == 0 {
		first.Problem("the control has lost no request and refused none, in all of its rows")
	}
}

// The images, by the names that they have in manifests. The library's is that of
// kubernetes.yaml.
const (
	libraryImage = "orders:latest"
	preStopImage = "orders-prestop:latest" // with the command shutdown-prestop
	naiveImage   = "naive:latest"
)

// images are as the last stage of examples/kubernetes/Dockerfile.
func images(env *parts.Env) (images []cluster.Image) {
	for name, files := range map[string]map[string]string{
		libraryImage: {"/orders": env.Program(parts.Library)},
		preStopImage: {"/orders": env.Program(parts.Library), "/shutdown-prestop": env.Program(parts.PreStop)},
		naiveImage:   {"/orders": env.Program(parts.Naive)},
		jobImage:     {"/orders": env.Program(parts.Job)},
	} {
		images = append(images, cluster.Image{
			Name: "docker.io/library/" + name, Files: files, Entrypoint: []string{"/orders"}, User: "65532:65532",
		})
	}
	return images
}
