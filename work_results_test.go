package shutdown_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

var update = flag.Bool("update", false, "rewrite the tables in testdata")

// A workResult is what a worker or a job returns when it has been told to stop.
type workResult struct {
	name         string
	err          func(ctx context.Context) error
	cancellation bool // it is nil, or says only that ctx has ended
}

var workResults = []workResult{
	{"nil", func(context.Context) error { return nil }, true},
	{"ctx.Err()", func(context.Context) error { return context.Canceled }, true},
	{"context.Cause(ctx)", context.Cause, true},
	{"errgroup", func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return context.Canceled })
		<-ctx.Done()
		return g.Wait()
	}, true},
	{"stopped at row 17: %w", func(context.Context) error { return fmt.Errorf("stopped at row 17: %w", context.Canceled) }, true},
	{"errors.Join(ctx.Err(), cause)", func(ctx context.Context) error { return errors.Join(context.Canceled, context.Cause(ctx)) }, true},
	{"errors.Join(flushErr, ctx.Err())", func(context.Context) error { return errors.Join(errors.New("flush: disk full"), context.Canceled) }, false},
	{"%w and %w", func(context.Context) error {
		return fmt.Errorf("%w and %w", context.Canceled, os.ErrDeadlineExceeded)
	}, false},
	{"gRPC Canceled", func(context.Context) error { return grpcCanceled{} }, false},
	{"ctx.Err() of a timeout of its own", func(context.Context) error { return context.DeadlineExceeded }, false},
}

// grpcCanceled is like the error of google.golang.org/grpc for a context that was canceled. Package
// grpcserver has the test with the real one.
type grpcCanceled struct{}

func (grpcCanceled) Error() string { return "rpc error: code = Canceled desc = context canceled" }

// A moment is when work returns.
type moment struct {
	name  string
	wait  func(m *shutdown.Manager)
	drive func(m *shutdown.Manager)
}

var moments = []moment{
	{"with no shutdown", func(*shutdown.Manager) { time.Sleep(time.Second) }, func(*shutdown.Manager) {}},
	{"before the shutdown", func(*shutdown.Manager) { time.Sleep(time.Second) }, func(m *shutdown.Manager) {
		time.Sleep(2 * time.Second)
		m.Begin(nil)
	}},
	{"at its beginning", func(m *shutdown.Manager) { <-m.AcceptContext().Done() }, func(m *shutdown.Manager) { m.Signal(syscall.SIGTERM) }},
	{"in the drain", func(m *shutdown.Manager) { <-m.AcceptContext().Done(); time.Sleep(time.Second) }, func(m *shutdown.Manager) { m.Signal(syscall.SIGTERM) }},
	{"at WorkContext's end", func(m *shutdown.Manager) { <-m.WorkContext().Done() }, func(m *shutdown.Manager) { m.Signal(syscall.SIGTERM) }},
	{"never", func(*shutdown.Manager) { time.Sleep(time.Hour) }, func(m *shutdown.Manager) { m.Signal(syscall.SIGTERM) }},
	{"forced", func(m *shutdown.Manager) { <-m.WorkContext().Done() }, func(m *shutdown.Manager) {
		m.Signal(syscall.SIGTERM)
		time.Sleep(time.Second)
		m.Signal(os.Interrupt)
	}},
}

// The results are compared with testdata/work_results.txt. The exit codes are not taken from that
// table, but computed by wantExit.
func TestTheResultFollowsFromWhatWorkReturnsAndWhen(t *testing.T) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORK\tRETURNS\tWHEN\tEXIT\tLAST LINE\tWAIT RETURNS")
	for _, work := range []string{"worker", "job", "Track"} {
		for _, r := range workResults {
			if work == "Track" && r.name != "nil" {
				continue
			}
			for _, when := range moments {
				synctest.Test(t, func(t *testing.T) {
					exit, last, err := tryWork(t, work, r, when)
					require.Equal(t, wantExit(work, r, when.name), exit, "%s, %s, %s: %v", work, r.name, when.name, err)
					text := "nil"
					if err != nil {
						text = strings.ReplaceAll(err.Error(), "\n", "; ")
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", work, r.name, when.name, exit, last, text)
				})
			}
		}
	}
	require.NoError(t, w.Flush())
	compare(t, "work_results.txt", table.Bytes())
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
	require.Equal(t, string(want), string(got), "rewrite it with go test -run %s . -update", t.Name())
}

// wantExit has the rules for exit codes.
func wantExit(work string, r workResult, when string) int {
	switch when {
	case "forced":
		return 128 + int(syscall.SIGINT) // it was cut off, whatever it returned
	case "at WorkContext's end", "never":
		return 1 // likewise
	case "with no shutdown", "before the shutdown":
		if r.name == "nil" || r.name == "context.Cause(ctx)" { // which is nil
			return 0
		}
		return 1
	}
	if work == "job" && r.name != "nil" || !r.cancellation {
		return 1
	}
	return 0
}

func tryWork(t *testing.T, work string, r workResult, when moment) (exit int, last string, err error) {
	m, log := newManager(t, shutdown.Config{})
	run := func(ctx context.Context) error {
		when.wait(m)
		return r.err(ctx)
	}
	switch work {
	case "worker":
		m.Go("consumer", run)
	case "job":
		m.Job("import", run)
	case "Track":
		done, ok := m.Track("POST /orders")
		require.True(t, ok)
		go func() {
			defer done()
			when.wait(m)
		}()
	}
	ended := make(chan error, 1)
	go func() {
		if when.name == "before the shutdown" {
			time.Sleep(2 * time.Second) // a job that has returned does not begin the shutdown before Wait
		}
		ended <- m.Wait()
	}()
	when.drive(m)
	time.Sleep(time.Minute)
	if m.Phase() == shutdown.Running {
		require.Equal(t, "with no shutdown", when.name)
		require.NotEqual(t, "job", work)
		m.Begin(nil)
	}
	err = <-ended
	requireAgreement(t, m, log, err)
	if r.name != "nil" && r.cancellation && err == nil {
		text := r.err(m.AcceptContext()).Error()
		require.Condition(t, func() bool {
			for _, line := range log.Lines(`msg="shutdown: worker stopped"`) {
				if strings.Contains(line, strings.Split(text, "\n")[0]) {
					return true
				}
			}
			return when.name == "with no shutdown" || when.name == "before the shutdown"
		}, "an error that counts as success is logged with its text")
	}
	lastLine := regexp.MustCompile(`level=(\S+) msg="shutdown: ([a-z ]+)" report`).FindStringSubmatch(log.String())
	require.NotNil(t, lastLine, log.String())
	time.Sleep(2 * time.Hour) // for work that never returns in time
	return shutdown.ExitCode(err), lastLine[1] + " " + lastLine[2], err
}

// requireAgreement checks that Wait's error, the Report and the log say the same.
func requireAgreement(t *testing.T, m *shutdown.Manager, log *testlog.Buffer, err error) {
	t.Helper()
	r := m.Report()
	if len(r.CutOff) > 0 {
		require.Error(t, err)
		forced := errors.Is(err, shutdown.ErrForced)
		require.Equal(t, !forced, errors.Is(err, shutdown.ErrTimeout), "%v", err)
		if !forced {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Contains(t, err.Error(), "cut off: "+r.CutOff[0].Name)
		require.Contains(t, r.String(), "cut off: 1 task: "+r.CutOff[0].Name)
		require.Len(t, log.Lines(`level=ERROR msg="shutdown: cut off"`), 1)
	}
	if err == nil {
		require.Empty(t, log.Lines("level=ERROR"))
		require.Empty(t, r.CutOff)
	} else {
		require.Greater(t, len(log.Lines("level=ERROR")), 1, "one when it happens, and one at the end")
	}
}
