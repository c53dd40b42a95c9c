//go:build linux

// Package systemd stops services of a systemd of its own, as systemctl stop does.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gracefulgo/shutdown/e2e/internal/debian"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// Part is the part of the end-to-end test.
var Part = parts.Part{
	Name: "systemd", Title: "systemd",
	Programs:      []string{parts.Library, parts.Naive, parts.SystemdService},
	ShortPrograms: []string{parts.Library, parts.Naive},
	Prepare:       prepare, Measure: measure,
}

func prepare(ctx context.Context) error {
	return debian.Install(ctx, os.Stderr, debian.Package{Name: "systemd", Program: "systemctl"})
}

func measure(ctx context.Context, env *parts.Env) (table report.Table, err error) {
	m, err := startManager(ctx, env.Dir)
	if err != nil {
		return table, err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	version, err := m.systemctl(ctx, "--version")
	if err != nil {
		return table, err
	}
	table.Versions, _, _ = strings.Cut(version, "\n")
	for i, s := range scenarios {
		if env.Short && !s.short {
			continue
		}
		row, err := s.measure(ctx, m, env, fmt.Sprintf("e2e-%d", i))
		table.Rows = append(table.Rows, row)
		if err != nil {
			return table, fmt.Errorf("%s, %s: %w", s.name, s.service, err)
		}
	}
	return table, nil
}
