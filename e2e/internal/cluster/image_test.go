//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnImageHasItsFilesAndSettings(t *testing.T) {
	t.Parallel()
	program, passwd := filepath.Join(t.TempDir(), "program"), filepath.Join(t.TempDir(), "passwd")
	require.NoError(t, os.WriteFile(program, []byte("program"), 0o755))
	require.NoError(t, os.WriteFile(passwd, []byte("app:x:1:1::/:"), 0o644))
	image := Image{
		Name: "localhost/app:1", Entrypoint: []string{"/bin/app", "serve"}, Env: []string{"A=b"}, User: "1:1",
		Files: map[string]string{"/etc/passwd": passwd, "/bin/app": program},
	}
	var archive, again bytes.Buffer
	require.NoError(t, image.writeArchive(&archive))
	require.NoError(t, image.writeArchive(&again))
	require.Equal(t, archive.Bytes(), again.Bytes(), "an image is a function of its files")

	files := untar(t, &archive)
	require.JSONEq(t, `[{"Config":"config.json","RepoTags":["localhost/app:1"],"Layers":["layer.tar"]}]`,
		files["manifest.json"].content)
	var config struct {
		Config struct {
			Entrypoint, Env []string
			User            string
		}
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(files["config.json"].content), &config))
	require.Equal(t, image.Entrypoint, config.Config.Entrypoint)
	require.Equal(t, image.Env, config.Config.Env)
	require.Equal(t, image.User, config.Config.User)
	layer := files["layer.tar"].content
	require.Equal(t, []string{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(layer)))}, config.Rootfs.DiffIDs)
	require.Equal(t, map[string]archived{
		"bin/app":    {"program", 0o755, "root"},
		"etc/passwd": {"app:x:1:1::/:", 0o644, "root"},
	}, untar(t, bytes.NewBufferString(layer)))
}

type archived struct {
	content string
	mode    int64
	owner   string
}

func untar(t *testing.T, r io.Reader) map[string]archived {
	files := map[string]archived{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		owner := "somebody"
		if header.Uid == 0 && header.Gid == 0 {
			owner = "root"
		}
		files[header.Name] = archived{string(content), header.Mode, owner}
	}
}
