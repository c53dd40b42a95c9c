//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// TestMain runs the program instead of the tests if a test has started it.
func TestMain(m *testing.M) {
	if os.Getenv("ORDERS") != "" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(99) }) // it must not outlive its parent
		main()
	}
	os.Exit(m.Run())
}

// patience is a limit for what should happen at once; no test waits for it to pass.
const patience = time.Minute

// A service is the program, in a process of its own.
type service struct {
	cmd         *exec.Cmd
	log         testlog.Buffer
	addr, admin string
}

// A site is where runs of the service follow each other.
type site struct{ addr, admin, record string }

func newSite(t *testing.T) site {
	host := loopback.Host()
	port := func() string {
		ln, err := net.Listen("tcp", host+":0")
		require.NoError(t, err)
		defer ln.Close()
		return ln.Addr().String()
	}
	return site{port(), port(), filepath.Join(t.TempDir(), "record")}
}

func (s site) start(t *testing.T, env ...string) *service {
	t.Helper()
	r := &service{addr: s.addr, admin: s.admin}
	r.cmd = exec.Command(os.Args[0], "-addr", s.addr, "-admin", s.admin, "-record", s.record, "-coffee", "1ms")
	r.cmd.Env = append(append(os.Environ(), "ORDERS=1", "SHUTDOWN_GRACE_PERIOD=120", "SHUTDOWN_LAME_DUCK=0"), env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	r.await(t, "the service answers", func() bool {
		resp, err := http.Get("http://" + r.addr + "/menu")
		return err == nil && resp.Body.Close() == nil
	})
	return r
}

func (r *service) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, 20*time.Millisecond, what)
}

// order sends an order that is in flight until finish is called.
func (r *service) order(t *testing.T) (finish func()) {
	t.Helper()
	body, more := io.Pipe()
	go func() {
		if resp, err := http.Post("http://"+r.addr+"/orders/17", "text/plain", body); err == nil {
			_ = resp.Body.Close()
		}
	}()
	_, err := more.Write([]byte("two "))
	require.NoError(t, err)
	r.await(t, "the order is in flight", func() bool { return slices.Contains(r.scrape(), "shutdown_tasks_in_flight shutdown_kind=http 1") })
	return func() { _, _ = more.Write([]byte("coffees")); _ = more.Close() }
}

func (r *service) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, r.cmd.Process.Signal(sig))
}

// end waits until the process has ended, and returns its exit code, or -1 if it was killed.
func (r *service) end() int {
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode()
}

// scrape returns a line for each sample of the shutdown, sorted; durations have only their
// labels. It returns nil if nothing answers.
func (r *service) scrape() (lines []string) {
	resp, err := http.Get("http://" + r.admin + "/metrics")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return []string{err.Error()}
	}
	for name, family := range families {
		if !strings.HasPrefix(name, "shutdown_") {
			continue
		}
		for _, m := range family.GetMetric() {
			line := name
			for _, l := range m.GetLabel() {
				if strings.HasPrefix(l.GetName(), "shutdown_") {
					line += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
				}
			}
			if !strings.HasSuffix(name, "_seconds") {
				line += fmt.Sprint(" ", m.GetGauge().GetValue()+m.GetCounter().GetValue())
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// awaitDrain waits until the scrape shows the drain, and returns it.
func (r *service) awaitDrain(t *testing.T) []string {
	t.Helper()
	var lines []string
	r.await(t, "a scrape in drain", func() bool {
		lines = r.scrape()
		return slices.Contains(lines, "shutdown_phase_duration_seconds shutdown_phase=drain")
	})
	return lines
}

// lastRun returns what is known of the last run but for its traffic, which depends on when
// the test has looked whether the service answers.
func lastRun(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !strings.HasPrefix(line, "shutdown_last_run_duration") && !strings.HasPrefix(line, "shutdown_last_run_cut_off")
	})
}

func TestScrapesShowTheShutdownWhileItRunsAndItsResultAfterTheRestart(t *testing.T) {
	s := newSite(t)
	first := s.start(t)
	require.Empty(t, lastRun(first.scrape()))
	finish := first.order(t)
	first.signal(t, syscall.SIGTERM)
	require.Equal(t, []string{
		"shutdown_hook_duration_seconds shutdown_hook_name=http " + first.addr + " shutdown_hook_result=running shutdown_phase=drain",
		"shutdown_phase_duration_seconds shutdown_phase=drain",
		"shutdown_phase_duration_seconds shutdown_phase=leave",
		"shutdown_tasks_in_flight shutdown_kind=http 1",
	}, slices.DeleteFunc(first.awaitDrain(t), func(line string) bool { // the connections of GET /menu
		return strings.HasPrefix(line, "shutdown_connections_closed") || strings.HasPrefix(line, "shutdown_requests_while")
	}))
	finish()
	require.Equal(t, 0, first.end())

	timesOut := s.start(t, "SHUTDOWN_GRACE_PERIOD=5")
	require.Equal(t, []string{"shutdown_last_run_duration_seconds shutdown_result=finished"}, lastRun(timesOut.scrape()))
	timesOut.order(t)
	timesOut.signal(t, syscall.SIGTERM)
	timesOut.awaitDrain(t)
	require.Equal(t, 1, timesOut.end())

	forced := s.start(t)
	require.Equal(t, []string{
		"shutdown_last_run_cut_off shutdown_kind=http 1",
		"shutdown_last_run_duration_seconds shutdown_result=timed out",
	}, lastRun(forced.scrape()))
	forced.order(t)
	forced.signal(t, syscall.SIGTERM)
	forced.awaitDrain(t)
	stop := make(chan struct{})
	go func() { // the signal has an effect only half a second after the first
		for forced.cmd.Process.Signal(os.Interrupt) == nil {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	require.Equal(t, 130, forced.end())
	close(stop)

	killed := s.start(t)
	require.Equal(t, []string{
		"shutdown_last_run_cut_off shutdown_kind=http 1",
		"shutdown_last_run_duration_seconds shutdown_result=forced",
	}, lastRun(killed.scrape()))
	killed.order(t)
	killed.signal(t, syscall.SIGTERM)
	killed.awaitDrain(t)
	killed.awaitRecord(t, s.record, `"phase":"drain"`)
	killed.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, killed.end())

	killedAgain := s.start(t)
	require.Equal(t, []string{"shutdown_last_run_duration_seconds shutdown_result=killed in drain"}, lastRun(killedAgain.scrape()))
	killedAgain.awaitRecord(t, s.record, `"phase":"running"`)
	killedAgain.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, killedAgain.end())

	last := s.start(t)
	require.Equal(t, []string{"shutdown_last_run_duration_seconds shutdown_result=killed running"}, lastRun(last.scrape()))
	last.signal(t, syscall.SIGTERM)
	require.Equal(t, 0, last.end())
}

func (r *service) awaitRecord(t *testing.T, path, text string) {
	t.Helper()
	r.await(t, "a record with "+text, func() bool {
		record, err := os.ReadFile(path)
		return err == nil && bytes.Contains(record, []byte(text))
	})
}

// In the lame duck the service still answers.
func TestAScrapeCountsRequestsThatArriveWhileLeaving(t *testing.T) {
	for round := 1; ; round++ {
		r := newSite(t).start(t, "SHUTDOWN_LAME_DUCK=2")
		finish := r.order(t)
		r.signal(t, syscall.SIGTERM)
		r.await(t, "a scrape in leave", func() bool {
			return slices.Contains(r.scrape(), "shutdown_phase_duration_seconds shutdown_phase=leave")
		})
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + r.addr + "/menu")
		if err == nil {
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.NoError(t, resp.Body.Close())
			lines := r.awaitDrain(t)
			require.Contains(t, lines, "shutdown_requests_while_leaving_total shutdown_kind=http 1")
		}
		finish()
		require.Equal(t, 0, r.end())
		if err == nil {
			return
		}
		require.Less(t, round, 20, "the machine was too slow in each round: %v", err)
	}
}
