package httpserver_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// On a socket nothing is counted, but the kernel knows whether a client is in the
// middle of a request: it is not closed after 50 ms, as a silent one is.
func TestHalfARequestOnASocketIsWaitedFor(t *testing.T) {
	for name, before := range map[string]bool{"the first": false, "one more": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for try := 1; ; try++ {
				if halfARequest(t, before) {
					return
				}
				require.Less(t, try, 20, "half a request is closed like none")
			}
		})
	}
}

// halfARequest reports false if the machine was too slow to tell: half a request
// has 500 ms.
func halfARequest(t *testing.T, before bool) bool {
	m := manager(t, shutdown.Config{})
	addr := start(t, m, handle(func(http.ResponseWriter, *http.Request) {}))
	speaking, silent := dialRaw(t, addr), dialRaw(t, addr)
	if before {
		speaking.get("/")
		require.Equal(t, 200, speaking.response().status)
		time.Sleep(20 * time.Millisecond) // the kernel counts in milliseconds; less makes the test fail, and it is tried again
	}
	speaking.send("GET / HTTP/1.1\r\n")
	time.Sleep(20 * time.Millisecond) // so that net/http has read it
	begun := time.Now()
	ended := wait(m)
	m.Begin(nil)
	silent.requireEnd()
	_, err := io.WriteString(speaking, "Host: test\r\n\r\n")
	if err == nil {
		_, err = http.ReadResponse(speaking.r, nil)
	}
	require.NoError(t, within(t, "the end", ended))
	if err != nil {
		require.Greater(t, time.Since(begun), 40*time.Millisecond)
	}
	return err == nil
}
