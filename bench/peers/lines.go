package main

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed library.go nethttp.go grpcgo.go fx.go kratos.go gozero/main.go hertz.go echo.go oklogrun.go controllerruntime.go
var sources embed.FS

// countLines counts the lines of each peer between the comments "lines:begin NAME" and
// "lines:end", without blank lines and comments.
func countLines() (map[string]int, error) {
	counts := make(map[string]int)
	for _, pattern := range []string{".", "gozero"} {
		files, err := sources.ReadDir(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if f.IsDir() {
				continue
			}
			text, err := sources.ReadFile(strings.TrimPrefix(pattern+"/"+f.Name(), "./"))
			if err != nil {
				return nil, err
			}
			name := ""
			for line := range strings.Lines(string(text)) {
				line = strings.TrimSpace(line)
				if begun, ok := strings.CutPrefix(line, "//lines:begin "); ok {
					name = begun
				} else if line == "//lines:end" {
					name = ""
				} else if name != "" && line != "" && !strings.HasPrefix(line, "//") {
					counts[name]++
				}
			}
			if name != "" {
				return nil, fmt.Errorf("%s: no //lines:end for %q", f.Name(), name)
			}
		}
	}
	return counts, nil
}
