package grpcserver_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
)

var update = flag.Bool("update", false, "write the tables in testdata")

// What ends the RPC of a trial.
const (
	ownEnd   = "in time"      // one second after the start of the shutdown; the control
	deadline = "the deadline" // of Drain
	forced   = "force"        // one second after the start of the shutdown
)

const (
	outputName = "grpc /grpc.testing.TestService/StreamingOutputCall"
	inputName  = "grpc /grpc.testing.TestService/StreamingInputCall"
)

// TestTheOutcomeOfAnRPCThatIsCutOff compares the outcomes with the table in
// testdata/outcomes.txt. What has to be so in any case is also checked by the code.
// Handlers that do not return have another test, because virtual time does not advance
// with them.
func TestTheOutcomeOfAnRPCThatIsCutOff(t *testing.T) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RPC\tENDED BY\tTHE CLIENT GETS\tEXIT\tLAST LINE\tERROR OF WAIT, WITHOUT THE SERVER'S HOOK")
	for _, k := range kinds {
		for _, by := range []string{ownEnd, deadline, forced} {
			if k.ends != nil && !slices.Contains(k.ends, by) {
				continue
			}
			virtually(t, k.name+", ended by "+by, func(t *testing.T) {
				got, exit, last, text := try(t, k, by)
				fmt.Fprintf(w, "%s\t%s\t%v\t%d\t%s\t%s\n", k.name, by, got, exit, last, text)
			})
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

func try(t *testing.T, k kind, by string) (got codes.Code, exit int, last, text string) {
	var log output
	cfg := endlessBudget
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m := manager(t, cfg)
	s := newTrial(t, m)
	if k.handle != nil {
		s.handle = k.handle(s)
	}
	if k.prepare != nil {
		k.prepare(s)
	}
	c := serveInMemory(t, s.server()).client(t)
	result := s.start(k.call, c)

	ended := wait(m)
	m.Signal(syscall.SIGTERM)
	if by != deadline {
		time.Sleep(time.Second)
	}
	switch by {
	case ownEnd:
		s.end()
	case forced:
		m.Signal(os.Interrupt)
	}
	err := within(t, "the end", ended)
	var want []string
	if by != ownEnd {
		want = []string{k.rpc}
	}
	requireOutcome(t, m, &log, err, by, want)
	cut := m.Report().CutOff
	s.end()
	got = status.Code(within(t, "what the client gets", result))
	require.Equal(t, k.client[by], got)
	eventually(t, "the handler has returned", func() bool { return len(m.Tasks()) == 0 })
	require.Equal(t, cut, m.Report().CutOff, "nothing changes after the end")

	lastLine := regexp.MustCompile(`level=(\S+) msg="shutdown: ([a-z ]+)" report`).FindStringSubmatch(log.last())
	require.NotNil(t, lastLine, log.last())
	return got, shutdown.ExitCode(err), lastLine[1] + " " + lastLine[2], butHooks(err)
}

func (l *output) last() string {
	lines := l.lines("")
	return lines[len(lines)-1]
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
func requireOutcome(t *testing.T, m *shutdown.Manager, log *output, err error, by string, cutOff []string) {
	t.Helper()
	r := m.Report()
	names := namesOf(r.CutOff)
	require.ElementsMatch(t, cutOff, names)
	require.Subset(t, names, namesOf(r.Unfinished), "everything in flight at the end of Drain was cut off")
	last := log.last()
	if len(cutOff) == 0 {
		require.NoError(t, err)
		require.Equal(t, 0, shutdown.ExitCode(err))
		require.Contains(t, last, `level=INFO msg="shutdown: finished" `)
		require.Empty(t, log.lines("cut off"))
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

func namesOf(tasks []shutdown.Task) []string {
	names := []string{}
	for _, task := range tasks {
		names = append(names, task.Name)
	}
	return names
}

// This runs all kinds at once on sockets. The handlers do not return when they are cut
// off.
func TestRPCsThatDoNotReturnAreCutOff(t *testing.T) {
	for _, by := range []string{ownEnd, deadline, forced} {
		t.Run("ended by "+by, func(t *testing.T) {
			t.Parallel()
			var log output
			cfg := shutdown.Config{}
			if by == deadline {
				cfg = roomyBudget
			}
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			m := manager(t, cfg)
			s := newTrial(t, m)
			s.handle = never(s)
			c := client(t, start(t, s.server()))
			results := make(chan error, 3)
			calls := []func(*trial, pb.TestServiceClient) error{callUnary, serverStream, bidiStream}
			for _, call := range calls {
				go func() { results <- call(s, c) }()
				within(t, "the call", s.began)
			}
			ended := wait(m)
			m.Signal(syscall.SIGTERM)
			waitPhase(t, m, shutdown.Drain)
			switch by {
			case ownEnd:
				s.end()
			case forced:
				m.Force(shutdown.SignalError{Signal: os.Interrupt}) // a second signal this soon would count as the same key press
			}
			err := within(t, "the end", ended)
			want, code := []string{unaryName, outputName, streamName}, codes.Unavailable
			if by == ownEnd {
				want, code = nil, codes.OK
			}
			requireOutcome(t, m, &log, err, by, want)
			if by != ownEnd {
				require.ElementsMatch(t, want, namesOf(m.Report().Unfinished))
			}
			for range calls {
				require.Equal(t, code, status.Code(within(t, "what the client gets", results)))
			}
			s.end()
			eventually(t, "the handlers have returned", func() bool { return len(m.Tasks()) == 0 })
		})
	}
}
