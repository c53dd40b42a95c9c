//go:build linux

package docker

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gracefulgo/shutdown/e2e/internal/parts"
)

// The images. There is no registry here, so all are made FROM scratch; shell is busybox.
const (
	libraryImage = "orders"
	naiveImage   = "naive"
	workerImage  = "worker"
	shellImage   = "shell" // the service behind a shell; what starts it is an argument of docker run

	discoveryImage = "discovery"
	signalsImage   = "signals"
)

// buildImages builds the images with docker build. The one of the service is the last stage
// of its Dockerfile: the first stage needs a registry, and makes the program that is built
// here already.
func buildImages(ctx context.Context, d *dockerd, env *parts.Env) error {
	dockerfile, err := os.ReadFile("examples/kubernetes/Dockerfile")
	if err != nil {
		return err
	}
	_, last, found := strings.Cut(string(dockerfile), "\nFROM scratch\n")
	if !found {
		return fmt.Errorf("examples/kubernetes/Dockerfile has no line %q", "FROM scratch")
	}
	last = "FROM scratch\n" + strings.ReplaceAll(last, "--from=build ", "")
	program := func(name string) string { return env.Program(name) }
	type image struct {
		name, dockerfile string
		files            map[string]string // by name in the image
	}
	images := []image{
		{libraryImage, last, map[string]string{"orders": program(parts.Library)}},
		{naiveImage, last, map[string]string{"orders": program(parts.Naive)}},
		{
			shellImage,
			// busybox makes its other names itself.
			"FROM scratch\nCOPY . /\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nENV PATH=/bin\n",
			map[string]string{
				"orders": program(parts.Library), "naive": program(parts.Naive), parts.Init: program(parts.Init),
				"bin/busybox": "/bin/busybox", "bin/tini": "/usr/bin/tini-static",
				"script.sh": script("/orders & wait"), "exec.sh": script("exec /orders"),
			},
		},
	}
	if !env.Short {
		images = append(images,
			image{workerImage, "FROM scratch\nCOPY . /\nENTRYPOINT [\"/worker\"]\n", map[string]string{"worker": program(parts.Worker)}},
			image{discoveryImage, "FROM scratch\nCOPY . /\nENTRYPOINT [\"/discovery\"]\n", map[string]string{"discovery": program(parts.Discovery)}},
			image{signalsImage, "FROM scratch\nCOPY . /\nENTRYPOINT [\"/signals\"]\n", map[string]string{"signals": program(parts.DockerSignals)}},
		)
	}
	for _, image := range images {
		if err := d.build(ctx, filepath.Join(env.Dir, "image-"+image.name), image.name, image.dockerfile, image.files); err != nil {
			return err
		}
	}
	return nil
}

// script is the text of a start script, not the path of a file.
func script(line string) string { return "#!/bin/sh\n" + line + "\n" }

func (d *dockerd) build(ctx context.Context, dir, name, dockerfile string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for path, from := range files {
		if err := copyFile(filepath.Join(dir, path), from); err != nil {
			return err
		}
	}
	file := dir + ".Dockerfile"
	if err := os.WriteFile(file, []byte(dockerfile), 0o644); err != nil {
		return err
	}
	_, err := d.docker(ctx, "build", "--quiet", "--network", "none", "--tag", name, "--file", file, dir)
	return err
}

func copyFile(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if strings.HasPrefix(from, "#!") {
		return os.WriteFile(to, []byte(from), 0o755)
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if closed := target.Close(); err == nil {
		err = closed
	}
	return err
}
