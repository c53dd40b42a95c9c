package httpserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A rawConn is a client that writes requests and reads responses by hand.
type rawConn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dialRaw(t testing.TB, addr string) rawConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, soon)
	require.NoError(t, err)
	return raw(t, conn)
}

func raw(t testing.TB, conn net.Conn) rawConn {
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(soon))
	return rawConn{conn, t, bufio.NewReader(conn)}
}

func (c rawConn) send(s string) {
	c.t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(c.t, err)
}

func (c rawConn) get(path string) { c.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n") }

func (c rawConn) response() reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return reply{status: resp.StatusCode, close: resp.Close, body: string(body)}
}

// requireEnd fails unless the server closes the connection without a reset and without
// sending anything more.
func (c rawConn) requireEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	require.NoError(c.t, err)
	require.Empty(c.t, string(rest))
}
