package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

var update = flag.Bool("update", false, "write the tables in testdata")

// What ends the request of a trial.
const (
	inTime   = "in time"      // one second after the start of the shutdown; the control
	deadline = "the deadline" // of Drain
	forced   = "force"        // one second after the start of the shutdown
)

// TestTheOutcomeOfARequestThatIsCutOff compares the outcomes with the table in
// testdata/outcomes.txt. What has to be so in any case is also checked by the code.
func TestTheOutcomeOfARequestThatIsCutOff(t *testing.T) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tOVER\tENDED BY\tTHE CLIENT GETS\tEXIT\tLAST LINE\tERROR OF WAIT, WITHOUT THE SERVER'S HOOK")
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
	compare(t, "outcomes.txt", table.Bytes())
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
	require.Equal(t, string(want), string(got), "to update it: go test -run %s . -update", t.Name())
}

func try(t *testing.T, k kind, proto protocol, by string) (got string, exit int, last, text string) {
	var log testlog.Buffer
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
	requireOutcome(t, m, &log, err, by, want)
	cut := m.Report().CutOff
	s.end()
	got = within(t, "what the client gets", result)
	if certain := k.client[by]; certain != "" {
		require.Equal(t, certain, got)
	} else {
		got = "-"
	}
	eventually(t, "the handler has returned", func() bool { return len(m.Tasks()) == 0 })
	require.Equal(t, cut, m.Report().CutOff, "nothing changes after the end")

	lastLine := regexp.MustCompile(`level=(\S+) msg="shutdown: ([a-z ]+)" report`).FindStringSubmatch(log.String())
	require.NotNil(t, lastLine, log.String())
	return got, shutdown.ExitCode(err), lastLine[1] + " " + lastLine[2], butHooks(err)
}

// butHooks returns err without the errors of hooks: on a slow machine, the server's hook
// may be abandoned before it returns its error.
func butHooks(err error) string {
	joined, ok := err.(interface{ Unwrap() []error }) // this error itself
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

// requireOutcome checks that the error of Wait, the exit code, the Report and the log name
// what has been cut off and nothing else.
func requireOutcome(t *testing.T, m *shutdown.Manager, log *testlog.Buffer, err error, by string, cutOff []string) {
	t.Helper()
	r := m.Report()
	var names []string
	for _, task := range r.CutOff {
		names = append(names, task.Name)
	}
	require.ElementsMatch(t, cutOff, names)
	require.Subset(t, names, taskNamesOf(r.Unfinished), "everything in flight at the end of Drain was cut off")

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

// This runs all kinds at once, over both protocols.
func TestRequestsAreCutOffOnSockets(t *testing.T) {
	for _, by := range []string{inTime, deadline, forced} {
		t.Run("ended by "+by, func(t *testing.T) {
			t.Parallel()
			var log testlog.Buffer
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
				m.Force(shutdown.SignalError{Signal: os.Interrupt}) // a second signal this soon would count as the same key press
			}
			err := within(t, "the end", ended)
			requireOutcome(t, m, &log, err, by, names)
			for i, s := range trials {
				s.end()
				got := within(t, "what the client gets", results[i])
				// A slow machine may not answer between the end of WorkContext and the
				// closing of the connections.
				if by == inTime {
					require.Equal(t, s.kind.client[by], got, s.name)
				}
			}
		})
	}
}
