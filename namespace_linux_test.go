package shutdown_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// scripts are written into the directory of each child. $APP is this test binary.
var scripts = map[string]string{
	"start.sh": "#!/bin/sh\n\"$APP\"\necho done\n",
	"exec.sh":  "#!/bin/sh\nexec \"$APP\"\n",
	// Two correct ways without exec. The second starts the program before it sets its trap.
	"trap.sh":  "#!/bin/sh\ntrap 'kill -TERM $pid' TERM\n\"$APP\" & pid=$!\nwait $pid\nwait $pid\n",
	"trap2.sh": "#!/bin/sh\n\"$APP\" & pid=$!\ntrap 'kill -TERM $pid' TERM\nwait $pid\nwait $pid\n",
	// This one sets its trap after a while.
	"trap3.sh": "#!/bin/sh\n\"$APP\" & pid=$!\ni=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done\ntrap 'kill -TERM $pid' TERM\nwait $pid\nwait $pid\n",
	"main.go":  "package main\nimport (\"os\"; \"syscall\")\nfunc main() { panic(syscall.Exec(os.Getenv(\"APP\"), []string{\"app\"}, os.Environ())) }\n",
	"run":      "#!/bin/sh\nexec 2>&1\nexec \"$APP\"\n",
}

func sh(script string) []string { return []string{"sh", "-c", script} }

// inNamespace starts command as PID 1 of a new PID namespace, with a /proc of its own.
func inNamespace(t testing.TB, scenario string, command []string, change ...func(*exec.Cmd)) *process {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a PID namespace with a /proc of its own needs root")
	}
	for _, tool := range command[:1] {
		if _, err := exec.LookPath(tool); err != nil && !strings.HasPrefix(tool, "./") {
			require.Empty(t, os.Getenv("CI"), "%s is not installed", tool)
			t.Skip(tool + " is not installed")
		}
	}
	return start(t, scenario, append([]func(*exec.Cmd){func(cmd *exec.Cmd) {
		app := cmd.Path
		for name, text := range scripts {
			require.NoError(t, os.WriteFile(filepath.Join(cmd.Dir, name), []byte(text), 0o755))
		}
		require.NoError(t, os.MkdirAll(filepath.Join(cmd.Dir, "services/app"), 0o755))
		require.NoError(t, os.Rename(filepath.Join(cmd.Dir, "run"), filepath.Join(cmd.Dir, "services/app/run")))
		for name, of := range map[string]string{"app": app, "npm": app, "systemd": app, "go": app, "docker-init": "/usr/bin/tini"} {
			require.NoError(t, os.Symlink(of, filepath.Join(cmd.Dir, name)))
		}
		cache, err := goCache()
		require.NoError(t, err)
		cmd.Env = append(cmd.Env, "APP="+app, "EVENTS="+cmd.Dir, "HOME="+os.Getenv("HOME"), "GOFLAGS=-mod=mod", "GOCACHE="+cache)
		if slices.Contains(command, "go") { // now, because a build may take long; the next one uses the cache
			warm := exec.Command("go", "run", "main.go")
			warm.Dir, warm.Env = cmd.Dir, append(slices.Clone(cmd.Env), "APP=/bin/true")
			out, err := warm.CombinedOutput()
			require.NoError(t, err, "%s", out)
		}
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `mount -t proc proc /proc && exec "$@"`, "sh"}, command...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	}}, change...)...)
}

var goCache = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	return strings.TrimSpace(string(out)), err
})

func (p *process) findings() (found []string) {
	for line := range strings.Lines(p.out.String()) {
		if f, ok := strings.CutPrefix(line, "finding: "); ok {
			found = append(found, strings.TrimSpace(f))
		}
	}
	return found
}

// A findingWriter is given the log, and prints the warnings in it to stdout.
type findingWriter struct{}

func (findingWriter) Write(line []byte) (int, error) {
	if _, msg, ok := strings.Cut(strings.TrimSpace(string(line)), "level=WARN msg="); ok {
		if unquoted, err := strconv.Unquote(msg); err == nil {
			msg = unquoted
		}
		say("finding: " + strings.TrimPrefix(msg, "shutdown: "))
	}
	return len(line), nil
}

// cleanUp is how long the Close hook of a child takes, unless cleanUpEnv says otherwise.
const (
	cleanUpEnv = "SHUTDOWN_TEST_CLEAN_UP"
	cleanUp    = 300 * time.Millisecond
)

func init() {
	for name, before := range map[string]func(){
		"diagnose":                         awaitAncestors,
		"diagnose as nobody":               func() { awaitAncestors(); becomeNobody() },
		"diagnose with a child of its own": func() { must(ownChild.Start()) },
		"diagnose with an orphan":          func() {},
		"diagnose at once":                 func() {},
		"diagnose HUP":                     awaitAncestors,
		"diagnose a margin":                awaitAncestors,
		"diagnose, and measure":            awaitAncestors,
	} {
		childScenarios[name] = func() {
			if base := filepath.Base(os.Args[0]); base == "npm" || base == "systemd" || base == "go" {
				standIn()
			}
			before()
			cfg := shutdown.Config{GracePeriod: time.Minute, Logger: slog.New(slog.NewTextHandler(io.MultiWriter(os.Stderr, findingWriter{}), nil))}
			switch name {
			case "diagnose HUP":
				cfg.Signals = map[os.Signal]shutdown.Action{syscall.SIGTERM: shutdown.Graceful, syscall.SIGHUP: shutdown.Graceful}
			case "diagnose a margin":
				cfg.Timeout = cfg.GracePeriod - 50*time.Millisecond
			}
			m, err := shutdown.New(cfg)
			must(err)
			if name == "diagnose with an orphan" {
				orphan()
			}
			shutdown.AwaitLog(m)
			m.On(shutdown.Leave, "got SIGTERM", func(context.Context) error {
				must(os.Chdir(os.Getenv("EVENTS")))
				record("got SIGTERM")
				return nil
			})
			m.On(shutdown.Close, "clean up", func(context.Context) error {
				d, err := time.ParseDuration(os.Getenv(cleanUpEnv))
				if err != nil {
					d = cleanUp
				}
				time.Sleep(d)
				record("cleaned up")
				return nil
			})
			say("ready")
			if name == "diagnose, and measure" {
				cfg.Logger = slog.New(slog.DiscardHandler)
				measureNew(1000, func() { _, _ = shutdown.New(cfg) })
			}
			exit(m)
		}
	}
}

// ownChild is never garbage collected. With it the pidfd would go by which New knows the child.
var ownChild = exec.Command("sleep", "1000")

// awaitAncestors waits until all processes above this one are asleep, because New does not
// report a shell that is running.
func awaitAncestors() {
	for pid := os.Getppid(); pid > 0; {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return // it has ended
		}
		status := string(text)
		if !strings.Contains(status, "State:\tS") {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		_, parent, _ := strings.Cut(status, "PPid:\t")
		parent, _, _ = strings.Cut(parent, "\n")
		pid, err = strconv.Atoi(parent)
		must(err)
	}
}

// becomeNobody gives up root's groups too: to them a /proc with hidepid shows all processes.
func becomeNobody() {
	must(syscall.Setgroups(nil))
	must(syscall.Setgid(65534))
	must(syscall.Setuid(65534))
}

// standIn passes SIGTERM on to the command after its --, and waits for it, as npm does from
// version 6 on.
func standIn() {
	args := os.Args
	for args[0] != "--" {
		args = args[1:]
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	must(cmd.Start())
	go func() { _ = cmd.Process.Signal(<-term) }()
	_ = cmd.Wait()
	os.Exit(max(0, cmd.ProcessState.ExitCode()))
}

// orphan starts a process that becomes a child of PID 1, and returns when it has ended.
func orphan() {
	out, err := exec.Command("sh", "-c", "sleep 0.1 >/dev/null & echo $!").Output()
	must(err)
	pid := strings.TrimSpace(string(out))
	if os.Getenv("REAP") != "" {
		go func() {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(-1, &status, 0, nil)
		}()
	}
	for {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil || strings.Contains(string(status), "State:\tZ") && os.Getenv("REAP") == "" {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
