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

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// TestMain runs the program instead of the tests if a test has started it.
func TestMain(m *testing.M) {
	if os.Getenv("QUICKSTART") != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestAnAcceptedOrderIsAnsweredAndWrittenToTheJournal(t *testing.T) {
	for round := 1; ; round++ {
		output, prompt := order(t)
		// After a second the log names the requests that the drain waits for. If the
		// machine was stopped, the request may have finished before that.
		if strings.Contains(output, `waiting_for="POST /orders/{id}`) {
			return
		}
		require.False(t, prompt, "%s", output)
		require.Less(t, round, 20, "%s", output)
	}
}

// order sends an order and stops the service while it handles it. prompt reports whether
// all of this took no longer than it has to.
func order(t *testing.T) (output string, prompt bool) {
	addr, err := loopback.FreeAddr()
	require.NoError(t, err)
	journal := filepath.Join(t.TempDir(), "journal.txt")

	var written bytes.Buffer
	service := exec.Command(os.Args[0], "-addr", addr, "-journal", journal)
	service.Env = append(os.Environ(), "QUICKSTART=1", "SHUTDOWN_GRACE_PERIOD=60", "SHUTDOWN_LAME_DUCK=0")
	service.Stdout, service.Stderr = &written, &written
	require.NoError(t, service.Start())
	defer service.Process.Kill()

	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond, "the service listens")

	type answer struct {
		status int
		err    error
	}
	answered := make(chan answer, 1)
	body := &reader{Reader: strings.NewReader("two coffees"), read: make(chan struct{})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/orders/17", body)
	require.NoError(t, err)
	req.Header.Set("Expect", "100-continue") // the body is sent when the handler reads it
	transport := &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}
	sent := time.Now()
	go func() {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			answered <- answer{err: err}
			return
		}
		answered <- answer{status: resp.StatusCode, err: resp.Body.Close()}
	}()
	select {
	case <-body.read: // the handler has read the order
	case <-time.After(time.Minute):
		require.Fail(t, "the order is not read")
	}
	require.NoError(t, service.Process.Signal(syscall.SIGTERM))
	untilSignal := time.Since(sent)

	require.Equal(t, answer{status: http.StatusOK}, <-answered)
	prompt = untilSignal < time.Second && time.Since(sent) < 3500*time.Millisecond
	require.NoError(t, service.Wait(), "the exit code is 0: %s", &written)
	content, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.Equal(t, "17: two coffees\n", string(content))
	for _, want := range []string{"shutdown: started", "shutdown: finished after", "journal"} {
		require.Contains(t, written.String(), want)
	}
	return written.String(), prompt
}

// A reader closes read when it has been read to the end.
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
