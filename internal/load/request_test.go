package load_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestARequestIsSentAsItIsDescribed(t *testing.T) {
	for name, test := range map[string]struct {
		request load.Request
		want    string
	}{
		"GET":  {load.Request{}, "GET HOST  0 0 []"},
		"body": {load.Request{Method: "PUT", Body: "text", Header: http.Header{"X-A": {"b"}}}, "PUT HOST text 4 1 []"},
		"post": {load.Request{Method: "POST"}, "POST HOST  0 0 []"},
		"host": {load.Request{Header: http.Header{"Host": {"example.com"}}}, "GET example.com  0 0 []"},
	} {
		for _, mode := range modes {
			t.Run(name+", "+mode.String(), func(t *testing.T) {
				got := make(chan string, 1)
				srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					got <- fmt.Sprintf("%s %s %s %d %d %v", r.Method, r.Host, body, max(0, r.ContentLength), len(r.Header["X-A"]), r.TransferEncoding)
				}, nil)
				require.NoError(t, load.Clients{Mode: mode, Addr: srv.addr, Request: &test.request}.Ask(t.Context()))
				require.Equal(t, strings.ReplaceAll(test.want, "HOST", srv.addr), <-got)
			})
		}
	}
}

func TestAnyStatusBelow400IsAnAnswer(t *testing.T) {
	for status, want := range map[int]string{200: "", 204: "", 302: "", 304: "", 400: "400", 404: "404", 503: "503"} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, nil)
		err := load.Clients{Addr: srv.addr, Request: new(load.Request)}.Ask(t.Context())
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, want, load.Kind(err))
	}
}

// net/http repeats a GET on another connection when the server closes the one that it has
// reused. Here each connection is closed when its second request arrives.
func TestAGetThatIsLostIsNotSentAgain(t *testing.T) {
	var received atomic.Int64
	addr := accept(t, func(conn net.Conn) {
		requests := bufio.NewReader(conn)
		for i := range 2 {
			if _, err := http.ReadRequest(requests); err != nil {
				return
			}
			received.Add(1)
			if i == 0 {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	run, stop := start(t, load.Clients{Mode: load.KeepAlive, N: 1, Addr: addr, Request: new(load.Request)})
	require.Eventually(t, func() bool { return run.Lost() >= 3 }, soon, 1)
	stop()
	result := run.Wait()
	require.Equal(t, map[string]int{"EOF": result.Losses()}, result.Lost)
	require.EqualValues(t, received.Load(), result.Requests)
}

func TestATruncatedAnswerIsLost(t *testing.T) {
	addr := accept(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
		}
	})
	err := load.Clients{Addr: addr, Request: new(load.Request)}.Ask(t.Context())
	require.Error(t, err)
	require.Equal(t, "EOF", load.Kind(err))
}

func TestAnHTTPServerIsNoGRPCServer(t *testing.T) {
	srv := serve(t, echo, nil)
	err := load.Clients{Addr: srv.addr, Request: &load.Request{GRPC: true}}.Ask(t.Context())
	require.Equal(t, "other: no gRPC status", load.Kind(err))
}
