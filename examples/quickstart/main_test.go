//go:build unix

package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain runs the program itself if a test below starts it.
func TestMain(m *testing.M) {
	if os.Getenv("QUICKSTART") != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestAnOrderThatWasTakenIsAnsweredAndInTheJournal(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.78:0") // where no other test listens
	if err != nil {                                // systems other than Linux have one such address
		free, err = net.Listen("tcp", "127.0.0.1:0")
	}
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	journal := filepath.Join(t.TempDir(), "journal.txt")

	var output bytes.Buffer
	service := exec.Command(os.Args[0], "-addr", addr, "-journal", journal)
	service.Env = append(os.Environ(), "QUICKSTART=1", "SHUTDOWN_GRACE_PERIOD=60", "SHUTDOWN_LAME_DUCK=0")
	service.Stdout, service.Stderr = &output, &output
	require.NoError(t, service.Start())
	defer service.Process.Kill()

	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond, "it listens")

	type answer struct {
		status int
		err    error
	}
	answered := make(chan answer, 1)
	body := &reader{Reader: strings.NewReader("two coffees"), read: make(chan struct{})}
	go func() {
		resp, err := http.Post("http://"+addr+"/orders/17", "text/plain", body)
		if err != nil {
			answered <- answer{err: err}
			return
		}
		answered <- answer{status: resp.StatusCode, err: resp.Body.Close()}
	}()
	select {
	case <-body.read: // the order is on its way
	case <-time.After(time.Minute):
		require.Fail(t, "nobody reads the order")
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = service.Process.Signal(syscall.SIGTERM) })

	require.Equal(t, answer{status: http.StatusOK}, <-answered)
	require.NoError(t, service.Wait(), "it exits with 0: %s", &output)
	content, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.Equal(t, "17: two coffees\n", string(content))
	for _, want := range []string{"shutdown: begun", `waiting_for="POST /orders/{id}`, "shutdown: finished after", "journal"} {
		require.Contains(t, output.String(), want)
	}
}

// A reader says when it has been read to its end.
type reader struct {
	io.Reader
	read chan struct{}
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		select {
		case <-r.read:
		default:
			close(r.read)
		}
	}
	return n, err
}

func TestTheREADMEShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	require.NoError(t, err)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, shown, ok := strings.Cut(string(program), "func main() {")
	require.True(t, ok)
	shown, _, ok = strings.Cut(shown, "// A journal")
	require.True(t, ok)
	require.Contains(t, string(readme), "func main() {"+strings.TrimRight(shown, "\n"))
}
