package main

import (
	"debug/buildinfo"
	"errors"
	"io/fs"
	"runtime/debug"
)

// versions returns the versions of the modules that this program and go-zero's are made
// of.
func (b *bench) versions() (map[string]string, error) {
	ours, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("this program has no build information")
	}
	deps := ours.Deps
	if theirs, err := buildinfo.ReadFile(b.gozero); err == nil {
		deps = append(deps, theirs.Deps...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := make(map[string]string)
	for _, m := range deps {
		all[m.Path] = m.Version
	}
	return all, nil
}
