//go:build linux

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func TestMain(m *testing.M) {
	if child.RunRole(roles) {
		return
	}
	os.Exit(m.Run())
}

// needProxies skips the test if a proxy is missing, but not in .ci/nightly.
func needProxies(t *testing.T) {
	t.Helper()
	for _, p := range []*proxy{&haproxy, &nginx} {
		if err := p.find(); err != nil {
			if os.Getenv("NIGHTLY") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// measure measures the rows that only selects, with two restarts each.
func measure(t *testing.T, only string) []row {
	needProxies(t)
	p, err := parse([]string{"-restarts", "2", "-only", only}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	rows, err := p.measure(t.Context(), &log)
	t.Logf("\n%s", &log)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// How long the slowest request took is not checked, because it depends on what else the
// machine does. A proxy that does not run for 50 ms may send a request on a connection that
// was closed meanwhile, so one run of three without a loss will do.
func TestWithTheRecommendedSettingsNoRequestFails(t *testing.T) {
	for run := range 3 {
		rows := measure(t, "(redispatch|max_fails=0, proxy_connect_timeout).*library, lame duck 1.5s")
		if len(rows) != 2 {
			t.Fatalf("%d rows", len(rows))
		}
		lost := 0
		for _, r := range rows {
			if !r.recommended || r.Requests < 100 {
				t.Error(r)
			}
			lost += r.Losses()
		}
		if lost == 0 {
			return
		}
		t.Logf("run %d lost %d requests", run+1, lost)
	}
	t.Error("each run lost requests")
}

// It closes idle connections on which nginx is sending a request.
func TestWithTheSameSettingsNetHTTPAloneLosesRequests(t *testing.T) {
	for range 5 { // it is a race, which a run may win
		if measure(t, "max_fails=0, proxy_connect_timeout.*plain, lame duck 1.5s")[0].Losses() > 0 {
			return
		}
	}
	t.Error("no run lost a request, so the load proves nothing")
}

func TestWithoutLameDuckAndRetriesRequestsFail(t *testing.T) {
	rows := measure(t, "retries 0, library|proxy_next_upstream off, library, lame duck 0s")
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	haproxy, withLameDuck, nginx := rows[0], rows[1], rows[2]
	if haproxy.Lost["503"] == 0 || nginx.Lost["502"] == 0 {
		t.Errorf("HAProxy answers 503 and nginx 502 if a dial is refused: %v", rows)
	}
	// It is none, unless the machine is so busy that HAProxy's checks are late.
	if withLameDuck.Losses() > haproxy.Losses()/2 {
		t.Errorf("the lame duck does not help: %v", rows)
	}
}

func TestAMissingProxyIsAnErrorThatSaysWhatToInstall(t *testing.T) {
	err := proxy{name: "no-such-proxy"}.find()
	if err == nil || !strings.Contains(err.Error(), "apt-get install") || !strings.Contains(err.Error(), "no-such-proxy") {
		t.Error(err)
	}
}

func TestAConfigurationThatTheProxyRefusesIsShown(t *testing.T) {
	needProxies(t)
	for _, p := range []*proxy{&haproxy, &nginx} {
		s := setting{proxy: p, lines: []string{"no-such-directive 7"}}
		i, err := newInstance(setup{setting: s})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.start(t.Context(), t.TempDir(), []*instance{i})
		if err == nil || strings.Count(err.Error(), "no-such-directive") < 2 {
			t.Errorf("neither the proxy's message nor the configuration: %v", err)
		}
	}
}

// The settings in docs/load-balancers.md are those that are measured, and the proxies
// accept them.
func TestTheConfigurationsInTheDocumentationAreTheMeasuredOnes(t *testing.T) {
	text, err := os.ReadFile("../../docs/load-balancers.md")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := loopback.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	for heading, c := range map[string]struct {
		setting setting
		wrap    func(config string) string
		check   []string
	}{
		"\n## HAProxy\n": {
			haproxyRedispatch,
			func(config string) string {
				return "defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n" + config +
					"frontend front\n  bind " + addr + "\n  default_backend app\n"
			},
			[]string{"-c", "-f"},
		},
		"\n## nginx\n": {
			nginxConnectTimeout,
			func(config string) string {
				listen := "server {\n  listen " + addr + ";\n" // -t binds it
				return "pid nginx.pid;\nevents {}\nhttp {\n" + nginxTempPaths + strings.Replace(config, "server {\n", listen, 1) + "}\n"
			},
			[]string{"-t", "-e", "stderr", "-p", t.TempDir(), "-c"},
		},
	} {
		_, section, _ := strings.Cut(string(text), heading)
		_, rest, _ := strings.Cut(section, "```\n")
		config, _, ok := strings.Cut(rest, "```\n")
		if !ok {
			t.Fatalf("no configuration below %q", heading)
		}
		for _, line := range append(c.setting.lines, c.setting.server) {
			if !strings.Contains(config, line) {
				t.Errorf("%q is measured, but is not in:\n%s", line, config)
			}
		}
		path, err := c.setting.proxy.path()
		if err != nil {
			t.Logf("not checked, because %s is not installed", c.setting.proxy.name)
			continue
		}
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(c.wrap(config)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, append(c.check, file)...).CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s\n%s", err, out, config)
		}
	}
}

func TestBadArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{
		{"-restarts", "0"}, {"-clients", "0"}, {"-only", "no such row"}, {"-only", "("}, {"argument"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("no error for %q", args)
		}
	}
}

func TestTheVerdictNamesRecommendedSetupsThatFailOrDelay(t *testing.T) {
	bad := setup{setting: nginxConnectTimeout, service: "library", recommended: true}
	good := bad
	good.lameDuck = time.Second
	other := setup{setting: nginxOff, service: "plain"}
	for _, result := range []load.Result{{Lost: map[string]int{"502": 1}}, {Delayed: 1}} {
		text, ok := verdict([]row{{other, result}, {good, load.Result{}}, {bad, result}})
		if ok || !strings.Contains(text, bad.String()) || strings.Contains(text, other.String()) || strings.Contains(text, good.String()) {
			t.Errorf("%v, %q", ok, text)
		}
	}
	if text, ok := verdict([]row{{other, load.Result{Delayed: 1}}, {good, load.Result{}}}); !ok {
		t.Error(text)
	}
}
