package httpserver_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gracefulgo/shutdown"
)

// A trial is one shutdown in which one request is served.
type trial struct {
	kind
	t      *testing.T
	m      *shutdown.Manager
	url    string
	client *http.Client
	dial   func() rawConn
	began  chan struct{} // a token for each request whose handler has been called
	over   chan struct{} // closed when the request may end, in time or after the shutdown
	once   sync.Once
	served chan struct{} // closed when the client has its result
}

func newTrial(t *testing.T, k kind, m *shutdown.Manager) *trial {
	s := &trial{kind: k, t: t, m: m, began: make(chan struct{}, 10), over: make(chan struct{}), served: make(chan struct{})}
	t.Cleanup(s.end)
	if k.prepare != nil {
		k.prepare(s)
	}
	return s
}

func (s *trial) end() { s.once.Do(func() { close(s.over) }) }

// start sends the request and returns when its handler has been called. A late request is
// sent later; then start returns when the client is ready.
func (s *trial) start() (got <-chan string) {
	result := make(chan string, 1)
	go func() {
		result <- s.send(s)
		close(s.served)
	}()
	within(s.t, "the request", s.began)
	return result
}

// work is what most handlers do: they run until they are finished or cancelled.
func (s *trial) work(r *http.Request) {
	s.began <- struct{}{}
	select {
	case <-s.over:
	case <-r.Context().Done():
	}
}

// path returns a path that the pattern matches.
func (s *trial) path() string {
	_, path, _ := strings.Cut(s.pattern, " ")
	return strings.ReplaceAll(path, "{id}", "17")
}

// request sends the request, as most clients do.
func (s *trial) request(body io.Reader) string {
	method, _, _ := strings.Cut(s.pattern, " ")
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+s.path(), body)
	if err != nil {
		return err.Error()
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "cut off"
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "cut off"
	}
	return strconv.Itoa(resp.StatusCode)
}

// untilOver waits until a late request should be sent.
func (s *trial) untilOver() {
	select {
	case <-s.over:
	case <-s.m.WorkContext().Done():
	}
}

// untilServed is a hook during which the server goes on serving.
func (s *trial) untilServed(context.Context) error {
	<-s.served
	return nil
}
