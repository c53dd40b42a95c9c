//go:build linux

// Package docker stops containers on a dockerd of its own, as docker stop, docker kill and
// docker pause do.
package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/gracefulgo/shutdown/e2e/internal/debian"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// Part is the part of the end-to-end test.
var Part = parts.Part{
	Name: "docker", Title: "Docker",
	Programs:      []string{parts.Library, parts.Naive, parts.Worker, parts.Discovery, parts.DockerSignals, parts.Drill},
	ShortPrograms: []string{parts.Library, parts.Naive},
	Prepare:       prepare, Measure: measure,
}

func prepare(ctx context.Context) error {
	return debian.Install(ctx, os.Stderr,
		debian.Package{Name: "docker.io", Program: "dockerd", Service: "docker.socket"},
		debian.Package{Name: "etcd-server", Program: "etcd", Service: "etcd"},
		debian.Package{Name: "iptables", Program: "iptables"},
		debian.Package{Name: "tini", Program: "tini-static"},
		debian.Package{Name: "busybox-static", Program: "busybox"},
	)
}

func measure(ctx context.Context, env *parts.Env) (table report.Table, err error) {
	d, err := startDockerd(ctx, env.Dir)
	if err != nil {
		return table, err
	}
	defer func() { err = errors.Join(err, d.Stop(syscall.SIGTERM)) }()
	versions, err := d.docker(ctx, "version", "--format", "Docker {{.Server.Version}}{{range .Server.Components}}, {{.Name}} {{.Version}}{{end}}")
	if err != nil {
		return table, err
	}
	table.Versions = strings.Replace(versions, ", Engine "+strings.Fields(versions)[1], "", 1)
	table.Versions = strings.ReplaceAll(table.Versions, ",,", ",")
	if err := buildImages(ctx, d, env); err != nil {
		return table, fmt.Errorf("images: %w", err)
	}
	for _, s := range scenarios {
		if env.Short && !s.short {
			continue
		}
		row, err := s.measure(ctx, d, env)
		table.Rows = append(table.Rows, row)
		if err != nil {
			return table, err
		}
	}
	for _, measure := range []func() ([]report.Row, error){
		func() ([]report.Row, error) { return measureDrill(ctx, env) },
		func() ([]report.Row, error) { return measureSignals(ctx, d) },
		func() ([]report.Row, error) { return measureWorkers(ctx, d) },
		func() ([]report.Row, error) { return measureRegistry(ctx, d, env.Dir) },
	} {
		if env.Short {
			break
		}
		rows, err := measure()
		table.Rows = append(table.Rows, rows...)
		if err != nil {
			return table, err
		}
	}
	return table, nil
}
