package httpserver_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// The root package recognizes the goroutines of requests by a function whose name ends
// in ".serveTracked".
func TestTheStackOfATrackedRequestHasServeTracked(t *testing.T) {
	stacks := make(chan []string, 1)
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stacks <- functions() })
	want := []string{"github.com/gracefulgo/shutdown/httpserver.(*handler).serveTracked"}
	for name, proto := range protocols {
		t.Run("Start, "+name, func(t *testing.T) {
			m := manager(t, shutdown.Config{})
			srv := handle(h)
			url := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) })
			require.NoError(t, get(t, proto.client(t), url).err)
			require.Equal(t, want, serveTracked(within(t, "the stack", stacks)))
		})
	}
	for _, major := range []int{1, 3} {
		t.Run("Middleware, HTTP/"+string('0'+rune(major)), func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.ProtoMajor = major
			httpserver.Middleware(manager(t, shutdown.Config{}))(h).ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, want, serveTracked(within(t, "the stack", stacks)))
		})
	}
}

// serveTracked returns the functions whose names end in ".serveTracked".
func serveTracked(functions []string) (found []string) {
	for _, f := range functions {
		if strings.HasSuffix(f, ".serveTracked") {
			found = append(found, f)
		}
	}
	return found
}

// functions returns the names of the functions in the caller's stack.
func functions() (names []string) {
	pcs := make([]uintptr, 100)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		names = append(names, frame.Function)
	}
	return names
}
