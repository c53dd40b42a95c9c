package httpserver_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// A client that does not read blocks the handler. Then the stack of the handler shows
// how the file is sent.
func TestAFileIsStillSentWithSendfile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks for the sendfile of Linux in a stack")
	}
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	require.NoError(t, os.Truncate(name, hugeFile))

	const sendfile, write = "internal/poll.SendFile(", "internal/poll.(*FD).Write("
	stack := func(t *testing.T, h http.HandlerFunc, call string) (stack string) {
		m := manager(t, shutdown.Config{})
		c := dialRaw(t, start(t, m, handle(h)))
		c.get("/")
		eventually(t, call+" in the handler's stack", func() bool {
			stack = stackOf("sendsFile(")
			return strings.Contains(stack, call)
		})
		c.Close()
		eventually(t, "the end of the request", func() bool { return len(m.Tasks()) == 0 })
		return stack
	}
	t.Run("ServeFile", func(t *testing.T) {
		stack(t, func(w http.ResponseWriter, r *http.Request) {
			sendsFile(func() { http.ServeFile(w, r, name) })
		}, sendfile)
	})
	t.Run("io.Copy", func(t *testing.T) {
		stack(t, func(w http.ResponseWriter, _ *http.Request) { sendsFile(func() { copyFile(w, name) }) }, sendfile)
	})
	t.Run("control: a wrapper that hides ReaderFrom", func(t *testing.T) {
		s := stack(t, func(w http.ResponseWriter, _ *http.Request) {
			sendsFile(func() { copyFile(struct{ http.ResponseWriter }{w}, name) })
		}, write)
		require.NotContains(t, s, sendfile)
	})
}

const hugeFile = 1 << 30 // sparse

// sendsFile can be found in a stack.
//
//go:noinline
func sendsFile(send func()) { send() }

func copyFile(w http.ResponseWriter, name string) {
	f, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	w.Header().Set("Content-Length", strconv.Itoa(hugeFile)) // without it the response is chunked, and net/http copies
	_, _ = io.Copy(w, f)
}

// stackOf returns the stack of the goroutine that runs the function.
func stackOf(function string) string {
	buf := make([]byte, 4<<20)
	n := runtime.Stack(buf, true)
	for ; n == len(buf); n = runtime.Stack(buf, true) {
		buf = make([]byte, 2*len(buf)) // other tests have goroutines too
	}
	for _, stack := range strings.Split(string(buf[:n]), "\n\n") {
		if strings.Contains(stack, function) {
			return stack
		}
	}
	return ""
}
