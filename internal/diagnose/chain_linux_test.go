package diagnose

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// diagnose_namespace_linux_test.go of the root package has tests with real shells and inits. The
// tests here use command lines in a fake /proc.

const (
	termCaught  = "caught "
	termIgnored = "ignored "
	running     = "running "
)

// fakeProc returns a process and the /proc of its container. chain has the command lines from PID
// 1 down to that process.
func fakeProc(chain ...string) Process {
	e, files := Process{PID: 42}, fstest.MapFS{}
	for i, line := range chain {
		caught, ignored, state := 0, 0, "S (sleeping)"
		if rest, ok := strings.CutPrefix(line, termCaught); ok {
			caught, line = 1<<(syscall.SIGTERM-1), rest
		}
		if rest, ok := strings.CutPrefix(line, termIgnored); ok {
			ignored, line = 1<<(syscall.SIGTERM-1), rest
		}
		if rest, ok := strings.CutPrefix(line, running); ok {
			state, line = "R (running)", rest
		}
		pid := i + 1
		status := fmt.Sprintf("Name:\tx\nState:\t%s\nPid:\t%d\nPPid:\t%d\nSigIgn:\t%016x\nSigCgt:\t%016x\n", state, pid, i, ignored, caught)
		dirs := []string{fmt.Sprint(pid)}
		if pid == len(chain) {
			e.PID, dirs = pid, append(dirs, "self")
		}
		for _, dir := range dirs {
			files[dir+"/status"] = &fstest.MapFile{Data: []byte(status)}
			files[dir+"/cmdline"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(line, " ", "\x00") + "\x00")}
		}
	}
	e.Proc = files
	return e
}

func TestAProcessThatSwallowsSIGTERMIsReported(t *testing.T) {
	const exec = ": end the script with `exec ./app`, or use the exec form of CMD"
	for want, chain := range map[string][]string{
		"PID 1 is /bin/sh ./start.sh, which does not pass SIGTERM on" + exec:                                                            {"/bin/sh ./start.sh", "./app"},
		"PID 1 is /bin/sh -c ./start.sh, which does not pass SIGTERM on; nor does /bin/sh ./start.sh below that" + " pass it on" + exec: {"/bin/sh -c ./start.sh", "/bin/sh ./start.sh", "./app"},
		"PID 1 is tini -- ./start.sh, and /bin/sh ./start.sh below it ends on SIGTERM without waiting for this program" + exec:          {"tini -- ./start.sh", "/bin/sh ./start.sh", "./app -v"},
		"PID 1 is npm start, and sh -c ./app below it ends on SIGTERM":                                                                  {"npm start", "sh -c ./app", "./app"},
		"PID 1 is node /usr/bin/yarn start, and sh -c ./app below it":                                                                   {"node /usr/bin/yarn start", "sh -c ./app", "./app"},
		"PID 1 is busybox ash -c ./app;x, which does not":                                                                               {"busybox ash -c ./app;x", "./app"},
		"PID 1 is -bash -lc ./app;x, which does not":                                                                                    {"-bash -lc ./app;x", "./app"},
		"PID 1 is bash -euo pipefail start.sh, which does not":                                                                          {"bash -euo pipefail start.sh", "./app"},
		"PID 1 is bash --norc --rcfile x start.sh, which does not":                                                                      {"bash --norc --rcfile x start.sh", "./app"},
		"PID 1 is sh -- start.sh, which does not":                                                                                       {"sh -- start.sh", "./app"},
		"PID 1 is flock -n lock ./app, which does not pass SIGTERM on: start the program itself":                                        {"flock -n lock ./app", "./app"},
		"PID 1 is go run ., which does not pass SIGTERM on: build the program":                                                          {termCaught + "go run .", "/tmp/go-build1/b001/exe/app"},
		"PID 1 is make run, and /bin/sh -c ./app;x below it":                                                                            {termCaught + "make run", "/bin/sh -c ./app;x", "./app"},
		"PID 1 is sh -c " + strings.Repeat("x", 74) + "..., which":                                                                      {"sh -c " + strings.Repeat("x", 100), "./app"},
	} {
		f, ok := fakeProc(chain...).swallowsTerm()
		require.True(t, ok, "%q", chain)
		require.Contains(t, f.String(), want)
	}
}

func TestAProcessThatMayPassSIGTERMOnIsNotReported(t *testing.T) {
	for name, chain := range map[string][]string{
		"the program is PID 1":                     {"./app"},
		"the program is PID 1, and named like sh":  {"sh -c ./app"},
		"a shell with a handler":                   {termCaught + "/bin/sh ./start.sh", "./app"},
		"below one with a handler":                 {termCaught + "/bin/sh ./start.sh", "/bin/sh -c ./app;x", "./app"},
		"below tini, with a handler":               {"tini -- ./start.sh", termCaught + "/bin/sh ./start.sh", "./app"},
		"a shell that ignores it":                  {termIgnored + "/bin/sh ./start.sh", "./app"},
		"a shell that has not set up its trap yet": {running + "/bin/sh ./start.sh", "./app"},
		"tini":                     {"/sbin/tini -- ./app", "./app"},
		"docker run --init":        {"/sbin/docker-init -- ./app", "./app"},
		"npm and exec":             {"npm start", "./app"},
		"systemd":                  {"/sbin/init", "/bin/sh ./start.sh", "./app"},
		"s6":                       {"s6-svscan /run/service", "s6-supervise app", "./app"},
		"a supervisor in between":  {"/bin/sh ./start.sh", "supervisord -n", "/bin/sh -c ./app", "./app"},
		"go test":                  {"/bin/sh -c go", termCaught + "go test ./...", "/tmp/app.test"},
		"a child of go test":       {"/bin/sh -c go", termCaught + "go test ./...", "/tmp/app.test", "./app"},
		"an interactive shell":     {"bash", "./app"},
		"a login shell":            {"-bash", "./app"},
		"with options":             {"bash --norc -l -o vi --rcfile x", "./app"},
		"a terminal below tini":    {"tini -- bash", "bash -i", "./app"},
		"-i wins":                  {"sh -ic ./app", "./app"},
		"a script from stdin (CI)": {"sh -e", "./app"},
		"with a pipefail":          {"bash -eo pipefail", "./app"},
		"-s":                       {"sh -s x", "./app"},
		"-":                        {"sh - x", "./app"},
		"--":                       {"sh --", "./app"},
		"a Drone step":             {"/bin/sh -c base64", "/bin/sh -e", "./app"},
		"go build":                 {"go build", "./app"},
		"an empty name":            {" ", "./app"},
		"too deep":                 append(strings.Split(strings.Repeat("sh x,", 20), ",")[:20], "./app"),
	} {
		f, ok := fakeProc(chain...).swallowsTerm()
		require.False(t, ok, "%s: %s", name, f)
	}
}

func TestAShellThatProcHidesIsNotReported(t *testing.T) {
	chain := []string{"/bin/sh ./start.sh", "/bin/sh ./app.sh", "./app"}
	_, ok := fakeProc(chain...).swallowsTerm()
	require.True(t, ok, "the control")
	for _, hidden := range []string{"1/cmdline", "1/status", "2/cmdline", "2/status", "self/status"} {
		e := fakeProc(chain...)
		delete(e.Proc.(fstest.MapFS), hidden)
		f, ok := e.swallowsTerm()
		require.False(t, ok, "without %s: %s", hidden, f)
	}

	e := fakeProc(chain...)
	e.PID = 4711 // /proc is that of another PID namespace, in which this process is 3
	_, ok = e.swallowsTerm()
	require.False(t, ok)

	e = fakeProc(chain...) // docker exec has ended, and PID 1 has inherited 2
	e.Proc.(fstest.MapFS)["2/status"].Data = []byte("Pid:\t2\nPPid:\t1\nNSsid:\t4711\t2\nSigCgt:\t0\n")
	_, ok = e.swallowsTerm()
	require.False(t, ok)

	e = fakeProc(chain...)
	e.Proc.(fstest.MapFS)["2/status"].Data = []byte("Pid:\t2\nPPid:\t0\nSigCgt:\t0\n") // docker exec
	_, ok = e.swallowsTerm()
	require.False(t, ok)
}

// ./app & ./wait-for-db; trap 'kill -TERM $pid' TERM; wait
func TestTheFindingNamesTheCommandThatAShellRunsBeforeItsTrap(t *testing.T) {
	const status = "State:\tS (sleeping)\nPid:\t%d\nPPid:\t1\nSigIgn:\t%016x\nSigCgt:\t0\n"
	const background, foreground = 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGQUIT-1), 0
	const plain = "PID 1 is sh start.sh, which does not pass SIGTERM on: end the script with"
	const weak = "PID 1 is sh start.sh, which does not pass SIGTERM on while it runs ./wait-for-db -v: set its trap before that, or end the script with"
	for name, test := range map[string]struct {
		program, other int
		want           string
	}{
		"the program is in the background":   {background, foreground, weak},
		"both are":                           {background, background, plain},
		"a pipe to a log":                    {foreground, foreground, plain},
		"the other one is in the background": {foreground, background, plain},
	} {
		e := fakeProc("sh start.sh", "./app")
		files := e.Proc.(fstest.MapFS)
		files["self/status"].Data = fmt.Appendf(nil, status, 2, test.program)
		files["1/task/1/children"] = &fstest.MapFile{Data: []byte("2 7 ")}
		files["7/status"] = &fstest.MapFile{Data: fmt.Appendf(nil, status, 7, test.other)}
		files["7/cmdline"] = &fstest.MapFile{Data: []byte("./wait-for-db\x00-v\x00")}
		files["2/status"] = files["self/status"]
		f, ok := e.swallowsTerm()
		require.True(t, ok, name)
		require.Contains(t, f.String(), test.want, name)
	}
}

func TestOnlyAZombieThatStaysIsReported(t *testing.T) {
	const status = "Name:\tsleep\nState:\t%s\nPid:\t7\nPPid:\t%d\nSigCgt:\t0\n"
	for name, test := range map[string]struct {
		later string
		found bool
	}{
		"still there":                   {fmt.Sprintf(status, "Z (zombie)", 1), true},
		"reaped":                        {"", false},
		"its pid is reused":             {fmt.Sprintf(status, "S (sleeping)", 1), false},
		"by a process that is no child": {fmt.Sprintf(status, "Z (zombie)", 3), false},
	} {
		e := fakeProc("./app")
		files := e.Proc.(fstest.MapFS)
		files["1/task/1/children"] = &fstest.MapFile{Data: []byte("7 ")}
		require.Nil(t, e.unreaped(), name)
		files["7/status"] = &fstest.MapFile{Data: []byte(fmt.Sprintf(status, "Z (zombie)", 1))}
		child := e.unreaped()
		require.NotNil(t, child, name)
		files["7/status"].Data = []byte(test.later)
		_, found := e.stillUnreaped(child)
		require.Equal(t, test.found, found, name)
	}
}

// The worst case, a deep chain, is BenchmarkNewBelowThreeShells of the root package.
func BenchmarkLook(b *testing.B) {
	me := Self()
	for b.Loop() {
		_, _ = me.swallowsTerm()
		_, _ = me.givenChild()
	}
}
