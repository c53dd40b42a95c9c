package orderstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/kubernetes/orders"
)

const coffee = `{"item":"coffee","quantity":2}`

// Request sends a request on a new connection.
func Request(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	status, answer, err := request(t, method, url, body)
	require.NoError(t, err)
	return status, answer
}

func request(t *testing.T, method, url, body string) (status int, answer string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// AskAdmin returns what the admin port answers to GET.
func (p *Process) AskAdmin(path string) (status int, answer string) {
	p.t.Helper()
	return Request(p.t, http.MethodGet, "http://"+p.Admin+path, "")
}

// Order sends an order over HTTP, on a new connection. It returns an error if there is no
// answer.
func (p *Process) Order() (status int, err error) {
	p.t.Helper()
	status, _, err = request(p.t, http.MethodPost, "http://"+p.HTTP+"/orders", coffee)
	return status, err
}

func requireOrder(t *testing.T, answer []byte) (id string) {
	t.Helper()
	var o orders.Order
	require.NoError(t, json.Unmarshal(answer, &o))
	require.NotEmpty(t, o.ID)
	require.Equal(t, orders.Order{ID: o.ID, Item: "coffee", Quantity: 2}, o)
	return o.ID
}

// A Post is an order over HTTP, in flight.
type Post struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// Post sends the header of a POST /orders, and returns when the handler reads the body.
func (p *Process) Post() *Post {
	p.t.Helper()
	c, err := net.Dial("tcp", p.HTTP)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "POST /orders HTTP/1.1\r\nHost: orders\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(coffee))
	require.NoError(p.t, err)
	post := &Post{p.t, c, bufio.NewReader(c)}
	line, err := post.r.ReadString('\n')
	require.NoError(p.t, err)
	require.Equal(p.t, "HTTP/1.1 100 Continue\r\n", line)
	_, err = post.r.ReadString('\n')
	require.NoError(p.t, err)
	return post
}

// Finish sends the body, and checks that the order is stored.
func (p *Post) Finish() {
	p.t.Helper()
	_, err := io.WriteString(p.conn, coffee)
	require.NoError(p.t, err)
	resp, err := http.ReadResponse(p.r, nil)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	require.Equal(p.t, http.StatusCreated, resp.StatusCode)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	requireOrder(p.t, answer)
}

// RequireNoAnswer waits until the connection is closed, without an answer.
func (p *Post) RequireNoAnswer() {
	p.t.Helper()
	_, err := p.r.ReadByte()
	require.Error(p.t, err)
}
