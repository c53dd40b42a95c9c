//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// write writes the tables into docs/e2e.md, and those rows into the README that are its
// head.
func write(tables []report.Table) error {
	var all, head bytes.Buffer
	fmt.Fprintf(&all, "%s\n\n", aboutMachine())
	var rows []report.Row
	for _, t := range tables {
		fmt.Fprintf(&all, "## %s\n\n%s.\n\n", t.Title, t.Versions)
		t.Print(&all)
		for _, r := range t.Rows {
			if r.Head {
				r.Scenario = t.Title + ": " + r.Scenario
				rows = append(rows, r)
			}
		}
	}
	(&report.Table{Rows: rows}).PrintHead(&head)
	if err := report.Write("docs/e2e.md", "tables", all.String()); err != nil {
		return err
	}
	return report.Write("README.md", "e2e", head.String())
}

func aboutMachine() string {
	var name unix.Utsname
	_ = unix.Uname(&name) // then the release is empty
	return fmt.Sprintf("Measured on %s with %d processors, Linux %s, %s, %s.",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), unix.ByteSliceToString(name.Release[:]), distribution(), runtime.Version())
}

func distribution() string {
	text, _ := os.ReadFile("/etc/os-release") // then there is no match
	match := regexp.MustCompile(`(?m)^PRETTY_NAME="(.*)"$`).FindStringSubmatch(string(text))
	if match == nil {
		return "unknown distribution"
	}
	return strings.TrimSpace(match[1])
}
