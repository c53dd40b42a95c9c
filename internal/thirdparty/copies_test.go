package thirdparty

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// grpcserver is a module of its own and cannot import internal packages of the root
// module. So it has a copy of these files of httpserver, with their tests.
func TestTheCopiesInGRPCServerAreTheSameAsInHTTPServer(t *testing.T) {
	for _, name := range []string{"socket_unix.go", "socket_other.go", "socket_unix_test.go"} {
		original, err := os.ReadFile(filepath.Join("..", "..", "httpserver", name))
		require.NoError(t, err)
		duplicate, err := os.ReadFile(filepath.Join("..", "..", "grpcserver", name))
		require.NoError(t, err)
		require.Equal(t, strings.Replace(string(original), "package httpserver", "package grpcserver", 1), string(duplicate), name)
	}
}
