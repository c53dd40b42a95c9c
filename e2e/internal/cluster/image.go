//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
)

// An Image is an image with one layer, FROM scratch: it has nothing but Files.
type Image struct {
	Name       string   // with a registry and a tag, such as localhost/app:1
	Entrypoint []string // starts with the path of a program in the image
	Env        []string // such as NAME=value
	User       string   // such as 65532:65532; root if it is empty

	// Files are the files of the image: the key is the path in the image, the value the path of
	// a file of this machine. They belong to root and keep their permissions.
	Files map[string]string
}

// ImportImage makes an image and gives it to containerd, under a name that pods with
// imagePullPolicy Never can use. It blocks until the kubelet sees the image. An image that has the
// name already is replaced, for containers that start afterwards.
func (c *Cluster) ImportImage(ctx context.Context, image Image) error {
	ctx, cancel := c.whileAlive(ctx)
	defer cancel()
	if err := c.importImage(ctx, image); err != nil {
		return fmt.Errorf("importing the image %s: %w", image.Name, err)
	}
	return nil
}

func (c *Cluster) importImage(ctx context.Context, image Image) error {
	file, err := os.CreateTemp(c.path("tmp"), "image-*.tar")
	if err != nil {
		return err
	}
	defer func() {
		file.Close()
		_ = os.Remove(file.Name())
	}()
	if err := image.writeArchive(file); err != nil {
		return err
	}
	if _, err := c.ctr(ctx, "images", "import", file.Name()); err != nil {
		return err
	}
	// The part of containerd that serves the kubelet hears of a new image a moment later, and
	// labels it then.
	return wait(ctx, "containerd to serve it", func(ctx context.Context) error {
		names, err := c.ctr(ctx, "images", "list", "--quiet",
			fmt.Sprintf(`name==%q,labels."io.cri-containerd.image"==managed`, image.Name))
		if err == nil && strings.TrimSpace(names) != image.Name {
			err = fmt.Errorf("it serves %q", names)
		}
		return err
	})
}

// writeArchive writes the image as docker save does.
func (i Image) writeArchive(w io.Writer) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	config := object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config":  object{"Entrypoint": i.Entrypoint, "Env": i.Env, "User": i.User, "WorkingDir": "/"},
		"rootfs":  object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
		"history": []object{{"created_by": "github.com/gracefulgo/shutdown/e2e"}},
	}
	manifest := []object{{"Config": "config.json", "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}}}
	archive := tar.NewWriter(w)
	for _, file := range []struct {
		name    string
		content any
	}{{"manifest.json", manifest}, {"config.json", config}, {"layer.tar", layer}} {
		content, ok := file.content.([]byte)
		if !ok {
			if content, err = json.Marshal(file.content); err != nil {
				return err
			}
		}
		if err := writeFile(archive, file.name, 0o644, content); err != nil {
			return err
		}
	}
	return archive.Close()
}

// layer returns the files as a tar archive.
func (i Image) layer() ([]byte, error) {
	var b bytes.Buffer
	archive := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(i.Files)) { // sorted, so that equal images have equal digests
		info, err := os.Stat(i.Files[name])
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(i.Files[name])
		if err != nil {
			return nil, err
		}
		if err := writeFile(archive, strings.TrimPrefix(name, "/"), info.Mode().Perm(), content); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return b.Bytes(), err
}

func writeFile(archive *tar.Writer, name string, mode os.FileMode, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(content))}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("archiving %s: %w", name, err)
	}
	if _, err := archive.Write(content); err != nil {
		return fmt.Errorf("archiving %s: %w", name, err)
	}
	return nil
}
