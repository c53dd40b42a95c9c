package httpserver_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// The server follows the frames that net/http writes. A connection that seemed to be in
// the middle of a frame would delay the drain to its end.
func TestAnIdleConnectionAfterLargeResponsesDoesNotDelayTheDrain(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	body, field := strings.Repeat("body", 300_000), strings.Repeat("field", 10_000) // with CONTINUATIONs
	srv := handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Field", field)
		w.Header().Set("Trailer", "Last")
		switch r.URL.Path {
		case "/broken":
			_, _ = io.WriteString(w, "the beginning")
			panic(http.ErrAbortHandler) // RST_STREAM
		case "/flushed":
			for range 10 {
				_, _ = io.WriteString(w, "piece")
				_ = http.NewResponseController(w).Flush()
			}
		default:
			_, _ = io.WriteString(w, body)
		}
		w.Header().Set("Last", field)
	})
	proto := protocols["h2c"]
	url := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) })
	c := proto.client(t)
	for range 3 {
		require.Equal(t, strings.Repeat("piece", 10), get(t, c, url+"/flushed").body)
		require.Error(t, get(t, c, url+"/broken").err)
		require.Equal(t, reply{status: 200, reused: true, proto: 2, body: body}, get(t, c, url))
	}
	watch := startWatch(t)
	require.NoError(t, end(t, m))
	watch.requireLinger()
}
