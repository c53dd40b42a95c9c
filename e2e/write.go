//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

// write writes a table into docs/e2e.md, and those rows into the README that are its head.
func write(t report.Table) error {
	var all, head bytes.Buffer
	fmt.Fprintf(&all, "%s. %s\n\n", t.Versions, aboutMachine())
	t.Print(&all)
	if err := report.Write("docs/e2e.md", t.Part, all.String()); err != nil {
		return err
	}
	if t.PrintHead(&head); head.Len() == 0 {
		return nil
	}
	return report.Write("README.md", t.Part, head.String())
}

func aboutMachine() string {
	var name unix.Utsname
	_ = unix.Uname(&name) // then the release is empty
	return fmt.Sprintf("Measured on %s with %d processors, Linux %s, %s, %s.",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), unix.ByteSliceToString(name.Release[:]), distribution(), runtime.Version())
}

var prettyName = regexp.MustCompile(`(?m)^PRETTY_NAME="(.*)"$`)

func distribution() string {
	text, _ := os.ReadFile("/etc/os-release") // then there is no match
	if match := prettyName.FindSubmatch(text); match != nil {
		return string(match[1])
	}
	return "unknown distribution"
}
