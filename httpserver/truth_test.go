package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

var update = flag.Bool("update", false, "write the tables in testdata anew")

// How the work of a trial ends.
const (
	inTime   = "in time"      // a second after the shutdown has begun: the control
	deadline = "the deadline" // the time of Drain is up
	forced   = "force"        // a second after the shutdown has begun
)

// A kind of request is cut off by the deadline and by force, unless it ends in
// time.
type kind struct {
	name    string
	pattern string
	serve   func(*trial, http.ResponseWriter, *http.Request)
	send    func(*trial) string // as a client, and returns what that has got
	late    bool                // it is sent when work is to end, or has been cut off
	alone   bool                // under Middleware, and not under Start
	prepare func(*trial)        // nil for nothing
	http1   bool                // only
	ends    []string            // nil for all
	client  map[string]string   // what it gets, where that is certain
}

// A trial is one shutdown in which one request is served.
type trial struct {
	kind
	t      *testing.T
	m      *shutdown.Manager
	url    string
	client *http.Client
	dial   func() rawConn
	began  chan struct{} // a token for each request that is being served
	over   chan struct{} // the request may end, in time or after the shutdown
	once   sync.Once
	served chan struct{} // the client has what it gets
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

// start sends the request, and returns when it is being served; or when it is
// late and the client is ready.
func (s *trial) start() (got <-chan string) {
	result := make(chan string, 1)
	go func() {
		result <- s.send(s)
		close(s.served)
	}()
	within(s.t, "the request", s.began)
	return result
}

// work is what most handlers do: they serve until they are done or are told to
// give up.
func (s *trial) work(r *http.Request) {
	s.began <- struct{}{}
	select {
	case <-s.over:
	case <-r.Context().Done():
	}
}

// path is one that the pattern matches.
func (s *trial) path() string {
	_, path, _ := strings.Cut(s.pattern, " ")
	return strings.ReplaceAll(path, "{id}", "17")
}

// request is what most clients do.
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

// getNow is for kinds of requests without a body.
func getNow(s *trial) string { return s.request(nil) }

// untilOver waits until a late request is to be sent.
func (s *trial) untilOver() {
	select {
	case <-s.over:
	case <-s.m.WorkContext().Done():
	}
}

// getLate needs no handshake at the end: if the context has ended that all
// requests of a server have, net/http makes none for TLS.
func getLate(s *trial) string {
	if got := s.request(nil); got != "200" {
		return got + " before the shutdown"
	}
	s.began <- struct{}{}
	s.untilOver()
	return s.request(nil)
}

func serveAtOnce(_ *trial, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }

// untilServed is a hook, for a program that serves on in it.
func (s *trial) untilServed(context.Context) error {
	<-s.served
	return nil
}

func answer200(s *trial, w http.ResponseWriter, r *http.Request) {
	s.work(r)
	_, _ = io.WriteString(w, "done")
}

var kinds = []kind{
	{
		name: "answered 503", pattern: "GET /answered-503/{id}", send: getNow,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			s.work(r)
			http.Error(w, "gave up", http.StatusServiceUnavailable)
		},
		client: map[string]string{inTime: "503", deadline: "503"},
	},
	{
		name: "answered 200", pattern: "GET /answered-200/{id}", send: getNow, serve: answer200,
		client: map[string]string{inTime: "200", deadline: "200"},
	},
	{
		name: "answered 200, Middleware", pattern: "GET /answered-200/{id}", send: getNow, serve: answer200, alone: true,
		prepare: func(s *trial) { s.m.On(shutdown.Drain, "serve on", s.untilServed) },
		client:  map[string]string{inTime: "200", deadline: "200"},
	},
	{
		name: "let in late, answered 200, Middleware", pattern: "GET /late/{id}", send: getLate, serve: serveAtOnce, late: true, alone: true,
		prepare: func(s *trial) { s.m.On(shutdown.Drain, "serve on", s.untilServed) },
		client:  map[string]string{inTime: "200", deadline: "200", forced: "200"},
	},
	{
		// Of the phases in which Start's server takes a new request, only Leave can
		// be cut short.
		name: "let in late, answered 200", pattern: "GET /late/{id}", send: getLate, serve: serveAtOnce, late: true,
		prepare: func(s *trial) { s.m.On(shutdown.Leave, "serve on", s.untilServed) },
		ends:    []string{inTime, forced},
		client:  map[string]string{inTime: "200", forced: "200"},
	},
	{
		// The header of the first has been sent before the shutdown: it does not
		// close the connection.
		name: "one pipelined behind another", pattern: "GET /pipelined/{id}", http1: true,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			if r.PathValue("id") == "18" {
				serveAtOnce(s, w, r)
				return
			}
			_ = http.NewResponseController(w).Flush()
			s.work(r)
		},
		send: func(s *trial) string {
			c := s.dial()
			c.send("GET /pipelined/17 HTTP/1.1\r\nHost: test\r\n\r\nGET /pipelined/18 HTTP/1.1\r\nHost: test\r\n\r\n")
			got := ""
			for range 2 {
				resp, err := http.ReadResponse(c.r, nil)
				if err != nil {
					return got + "cut off"
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					return got + "cut off"
				}
				got += strconv.Itoa(resp.StatusCode) + " "
			}
			return strings.TrimSpace(got)
		},
		ends:   []string{inTime, deadline}, // after force it depends on who is faster
		client: map[string]string{inTime: "200 200", deadline: "200 cut off"},
	},
	{
		name: "never answered", pattern: "GET /never/{id}", send: getNow,
		serve: func(s *trial, _ http.ResponseWriter, _ *http.Request) {
			s.began <- struct{}{}
			<-s.over
		},
		client: map[string]string{inTime: "200", deadline: "cut off", forced: "cut off"},
	},
	{
		name: "SSE", pattern: "GET /sse/{id}", send: getNow,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: hello\n\n")
			_ = http.NewResponseController(w).Flush()
			s.work(r)
		},
		client: map[string]string{inTime: "200", deadline: "200"},
	},
	{
		name: "upload", pattern: "POST /upload/{id}",
		serve: func(s *trial, _ http.ResponseWriter, r *http.Request) {
			s.began <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body) // which does not look at the context
		},
		send: func(s *trial) string {
			body, w := io.Pipe()
			defer body.Close()
			go func() {
				_, _ = io.WriteString(w, "half")
				<-s.over
				_, _ = io.WriteString(w, "the rest")
				_ = w.Close()
			}()
			return s.request(body)
		},
		client: map[string]string{inTime: "200", deadline: "cut off", forced: "cut off"},
	},
	{
		name: "WebSocket", pattern: "GET /websocket/{id}", http1: true, send: upgrade,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			if conn := accept(w); conn != nil {
				defer conn.Close()
				s.work(r)
				_, _ = io.WriteString(conn, "bye\n")
			}
		},
		client: map[string]string{inTime: "bye", deadline: "bye", forced: "bye"},
	},
	{
		name: "WebSocket, never ends", pattern: "GET /websocket/{id}/never", http1: true, send: upgrade,
		serve: func(s *trial, w http.ResponseWriter, _ *http.Request) {
			if conn := accept(w); conn != nil {
				defer conn.Close()
				s.began <- struct{}{}
				<-s.over
				_, _ = io.WriteString(conn, "bye\n")
			}
		},
		client: map[string]string{inTime: "bye", deadline: "cut off", forced: "cut off"},
	},
}

// accept hijacks the connection; it returns nil if that is impossible.
func accept(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	return conn
}

func upgrade(s *trial) string {
	c := s.dial()
	c.send("GET " + s.path() + " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	if resp, err := http.ReadResponse(c.r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return "not upgraded"
	}
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) == 0 {
		return "cut off"
	}
	return strings.TrimSpace(string(rest))
}

// TestWhatIsMadeOfARequestThatIsCutOff is a table in testdata/truth.txt. What has
// to be so in any case is not taken from there, but checked.
func TestWhatIsMadeOfARequestThatIsCutOff(t *testing.T) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tOVER\tENDED BY\tTHE CLIENT GETS\tEXIT\tLAST LINE\tWAIT RETURNS, BUT FOR THE SERVER'S HOOK")
	for _, k := range kinds {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2 over TLS"} {
			for _, by := range []string{inTime, deadline, forced} {
				if k.http1 && proto != "HTTP/1.1" || k.ends != nil && !slices.Contains(k.ends, by) {
					continue
				}
				t.Run(k.name+" over "+proto+", ended by "+by, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						got, exit, last, text := try(t, k, protocols[proto], by)
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", k.name, proto, by, got, exit, last, text)
					})
				})
			}
		}
	}
	require.NoError(t, w.Flush())
	compare(t, "truth.txt", table.Bytes())
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "write it anew with go test -run %s . -update", t.Name())
}

func try(t *testing.T, k kind, proto protocol, by string) (got string, exit int, last, text string) {
	var log lockedBuffer
	cfg := short
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m, network := manager(t, cfg), newPipeNet()
	s := newTrial(t, k, m)
	s.url, s.client = proto.scheme()+"pipe", network.client(t, proto)
	s.dial = func() rawConn { return network.dialRaw(t) }
	mux := http.NewServeMux()
	mux.HandleFunc(k.pattern, func(w http.ResponseWriter, r *http.Request) { k.serve(s, w, r) })
	srv := &http.Server{Handler: mux}
	proto.configure(srv)
	if k.alone {
		srv.Handler = httpserver.Middleware(m)(mux)
		serve := srv.Serve
		if proto.tls {
			serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
		}
		go func() { _ = serve(network) }()
		t.Cleanup(func() { _ = srv.Close() })
	} else {
		startOn(t, m, srv, network)
	}

	result := s.start()
	ended := wait(m)
	m.Signal(syscall.SIGTERM)
	if by != deadline {
		time.Sleep(time.Second)
	}
	switch by {
	case inTime:
		s.end()
	case forced:
		m.Signal(os.Interrupt)
	}
	err := within(t, "the end", ended)
	var want []string
	if by != inTime {
		want = []string{k.pattern}
	}
	requireTruth(t, m, &log, err, by, want)
	cut := m.Report().CutOff
	s.end()
	got = within(t, "what the client gets", result)
	if certain := k.client[by]; certain != "" {
		require.Equal(t, certain, got)
	} else {
		got = "-"
	}
	eventually(t, "the handler has returned", func() bool { return len(m.Tasks()) == 0 })
	require.Equal(t, cut, m.Report().CutOff, "what happens after the end changes nothing")

	lastLine := regexp.MustCompile(`level=(\S+) msg="shutdown: ([a-z ]+)" report`).FindStringSubmatch(log.String())
	require.NotNil(t, lastLine, log.String())
	return got, shutdown.ExitCode(err), lastLine[1] + " " + lastLine[2], butHooks(err)
}

// butHooks is err without what hooks returned: whether the one of the server was
// in time to say what it cut off is up to the machine.
func butHooks(err error) string {
	joined, ok := err.(interface{ Unwrap() []error }) // this very error
	if !ok {
		return "nil"
	}
	var rest []error
	for _, err := range joined.Unwrap() {
		if h := new(shutdown.HookError); !errors.As(err, &h) {
			rest = append(rest, err)
		}
	}
	return strings.ReplaceAll(errors.Join(rest...).Error(), "\n", "; ")
}

// requireTruth checks that Wait's error, the exit code, the Report and the log say
// what has been cut off, and nothing else.
func requireTruth(t *testing.T, m *shutdown.Manager, log *lockedBuffer, err error, by string, cutOff []string) {
	t.Helper()
	r := m.Report()
	var names []string
	for _, task := range r.CutOff {
		names = append(names, task.Name)
	}
	require.ElementsMatch(t, cutOff, names)
	require.Subset(t, names, taskNamesOf(r.Unfinished), "what is in flight when Drain has ended was cut off")

	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	last := lines[len(lines)-1]
	if len(cutOff) == 0 {
		require.NoError(t, err)
		require.Equal(t, 0, shutdown.ExitCode(err))
		require.Contains(t, last, `level=INFO msg="shutdown: finished" `)
		require.NotContains(t, log.String(), "cut off")
		return
	}
	require.Equal(t, by == forced, errors.Is(err, shutdown.ErrForced), "%v", err)
	if by == deadline {
		require.ErrorIs(t, err, shutdown.ErrTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, shutdown.ExitCode(err))
		require.Contains(t, last, `level=ERROR msg="shutdown: timed out" `)
	} else {
		require.Equal(t, 128+int(syscall.SIGINT), shutdown.ExitCode(err))
		require.Contains(t, last, `level=ERROR msg="shutdown: forced" `)
	}
	count := fmt.Sprintf("%d tasks", len(cutOff))
	if len(cutOff) == 1 {
		count = "1 task"
	}
	require.ErrorContains(t, err, count+" cut off: ")
	for _, name := range cutOff {
		require.ErrorContains(t, err, name)
		require.Contains(t, r.String(), name)
		require.Contains(t, last, name)
	}
	require.Contains(t, r.String(), "cut off: "+count)
	require.Contains(t, last, "report.cut_off=\""+count)
}

func taskNamesOf(tasks []shutdown.Task) []string {
	names := []string{}
	for _, task := range tasks {
		names = append(names, task.Name)
	}
	return names
}

// All kinds at once, and both protocols.
func TestRequestsAreCutOffAlsoOnSockets(t *testing.T) {
	for _, by := range []string{inTime, deadline, forced} {
		t.Run("ended by "+by, func(t *testing.T) {
			t.Parallel()
			var log lockedBuffer
			cfg := shutdown.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
			if by == deadline {
				cfg.Timeout, cfg.Reserve = soon, soon-cutAfter
			}
			m := manager(t, cfg)
			var trials []*trial
			var names []string
			var results []<-chan string
			for _, name := range []string{"HTTP/1.1", "HTTP/2 over TLS"} {
				proto, mux, first := protocols[name], http.NewServeMux(), len(trials)
				for _, k := range kinds {
					if k.late || k.alone || k.http1 && proto.version != 1 || k.ends != nil {
						continue
					}
					s := newTrial(t, k, m)
					mux.HandleFunc(k.pattern, func(w http.ResponseWriter, r *http.Request) { k.serve(s, w, r) })
					trials = append(trials, s)
					if by != inTime {
						names = append(names, k.pattern)
					}
				}
				srv := &http.Server{Handler: mux}
				url := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) })
				for _, s := range trials[first:] {
					s.url, s.client = url, proto.client(t)
					s.dial = func() rawConn { return dialRaw(t, strings.TrimPrefix(url, proto.scheme())) }
					results = append(results, s.start())
				}
			}
			ended := wait(m)
			m.Signal(syscall.SIGTERM)
			switch by {
			case inTime:
				waitPhase(t, m, shutdown.Drain)
				for _, s := range trials {
					s.end()
				}
			case forced:
				waitPhase(t, m, shutdown.Drain)
				m.Force(shutdown.SignalError{Signal: os.Interrupt}) // so soon, the signal would be one more of the same press
			}
			err := within(t, "the end", ended)
			requireTruth(t, m, &log, err, by, names)
			for i, s := range trials {
				s.end()
				got := within(t, "what the client gets", results[i])
				// The machine may be too slow to answer between WorkContext's end and
				// that of the connections.
				if by == inTime {
					require.Equal(t, s.kind.client[by], got, s.name)
				}
			}
		})
	}
}

// The name is made when the request ends, or when somebody wants to know it: at
// its beginning the mux has not been asked.
func TestARequestThatIsCutOffAndHasReturnedHasItsName(t *testing.T) {
	giveUp := func(began chan<- struct{}) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			<-r.Context().Done()
			r.URL.Path, r.Pattern, r.Method = "/of/the/handler", "", "" // its own business
		}
	}
	muxOf := func(pattern string, h http.Handler) *http.ServeMux {
		mux := http.NewServeMux()
		mux.Handle(pattern, h)
		return mux
	}
	for name, test := range map[string]struct {
		handler func(http.Handler) http.Handler
		want    string
	}{
		"a mux":                  {func(h http.Handler) http.Handler { return muxOf("/orders/{id}", h) }, "GET /orders/{id}"},
		"a mux, with the method": {func(h http.Handler) http.Handler { return muxOf("GET /orders/{id}", h) }, "GET /orders/{id}"},
		"a mux in a mux": {func(h http.Handler) http.Handler {
			return muxOf("/orders/", http.StripPrefix("/orders", muxOf("/{id}", h)))
		}, "GET /orders/"},
		// A mux that the server does not know sets the pattern of the handler's
		// request, which is the handler's; see Start.
		"a mux behind middleware": {func(h http.Handler) http.Handler {
			mux := muxOf("/orders/{id}", h)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r) })
		}, "GET /orders/17"},
		"no mux": {func(h http.Handler) http.Handler { return h }, "GET /orders/17"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedBuffer
				cfg := short
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				m, network := manager(t, cfg), newPipeNet()
				began := make(chan struct{}, 1)
				startOn(t, m, &http.Server{Handler: test.handler(giveUp(began))}, network)
				network.dialRaw(t).get("/orders/17?token=secret")
				within(t, "the request", began)
				ended := wait(m)
				m.Begin(nil)
				<-m.Reached(shutdown.Close)
				require.Empty(t, m.Tasks(), "it has returned")
				err := within(t, "the end", ended)
				requireTruth(t, m, &log, err, deadline, []string{test.want})
				require.NotContains(t, log.String(), "secret")
			})
		})
	}
}

func TestOfManyRequestsThatAreCutOffTheErrorNames64(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 70
		m := manager(t, short)
		began := make(chan struct{}, n)
		h := httpserver.Middleware(m)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			<-r.Context().Done()
		}))
		for i := range n {
			go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, fmt.Sprintf("/orders/%d", i), nil))
		}
		for range n {
			within(t, "the request", began)
		}
		err := end(t, m)
		require.ErrorContains(t, err, "70 tasks cut off: GET /orders/")
		require.ErrorContains(t, err, " and 6 more")
		require.Equal(t, 64, strings.Count(err.Error(), "GET /orders/"))
		require.Len(t, m.Report().CutOff, n)
	})
}
