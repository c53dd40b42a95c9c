//go:build unix

package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// output is the JSON.
type output struct {
	OK       bool           `json:"ok"`
	Problems []string       `json:"problems"`
	Exits    map[string]int `json:"exits"`
	Held     map[string]int `json:"held"`
	Left     map[string]int `json:"left"`
	Rows     []struct {
		Mode     string         `json:"mode"`
		Requests int            `json:"requests"`
		Lost     map[string]int `json:"lost"`
	} `json:"rows"`
}

func TestTheVerdictIsRight(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	const host = "HOST" // stands for the address of the program
	pidFile := filepath.Join(t.TempDir(), "pid")
	for name, test := range map[string]struct {
		program  string   // of this test binary
		command  []string // or another
		flags    []string
		status   int
		problems []string // parts of sentences
		alone    bool     // there are no other sentences
		exits    []string // each of them at least once
		modes    []string
	}{
		"with the library": {
			program: "library", exits: []string{"0"},
			modes: []string{"new connections", "keep-alive"},
		},
		"with the library and HTTP/2": {
			program: "library", flags: []string{"env DRILL_HTTP2"}, exits: []string{"0"},
			modes: []string{"new connections", "keep-alive", "HTTP/2"},
		},
		"with the library and TLS": {
			program: "TLS", flags: []string{"https"}, exits: []string{"0"},
			modes: []string{"new connections", "keep-alive", "HTTP/2"},
		},
		"with the library, a held path": {
			program: "library", flags: []string{"--held", "/slow"}, exits: []string{"0"},
		},
		"with the library, bodies, one of them withheld": {
			program: "library", flags: []string{"--body", "some text", "-H", "X-Test: 1"}, exits: []string{"0"},
		},
		"net/http alone": {
			program: "plain", status: 1, flags: []string{"-c", "32", "--rounds", "10"},
			problems: []string{"got no answer", "The program's exit code was 0 all the same."}, alone: true, exits: []string{"0"},
		},
		"ignores SIGTERM": {
			program: "ignores SIGTERM", status: 1, flags: []string{"--grace", "1s"},
			problems: []string{"did not exit within 1s of SIGTERM, and went on answering"}, exits: []string{"SIGKILL"},
			modes: []string{"new connections"},
		},
		"hangs": {
			program: "hangs", status: 1, flags: []string{"--grace", "1s"},
			problems: []string{"did not exit within 1s of SIGTERM. It had stopped listening and answered no requests any more"}, exits: []string{"SIGKILL"},
		},
		"a shell that swallows SIGTERM": {
			command: []string{"sh", "-c", `trap "" TERM; "$0" & wait; wait`, self}, program: "handles SIGUSR1", status: 1, flags: []string{"--grace", "1s"},
			problems: []string{"did not exit within 1s of SIGTERM, and went on answering"}, exits: []string{"SIGKILL"},
		},
		"a shell that ends alone": {
			command: []string{"sh", "-c", `"$0"; true`, self}, program: "library", status: 1,
			problems: []string{"It has no handler for SIGTERM", "Processes were left after its exit", "Something listened on"}, exits: []string{"SIGTERM"},
		},
		"exits with 0 and requests unanswered": {
			program: "exits at once", status: 1, flags: []string{"--held", "/slow"},
			problems: []string{"held EOF", "The program's exit code was 0 all the same."}, alone: true, exits: []string{"0"},
		},
		"a held body is lost": {
			program: "exits at once", status: 1, flags: []string{"--body", "some text"},
			problems: []string{"held ", "The program's exit code was 0 all the same."}, alone: true, exits: []string{"0"},
		},
		"HTTP/2 only": {
			program: "library", flags: []string{"env DRILL_HTTP2", "env DRILL_NO_HTTP1", "--mode", "http2", "--body", "text"}, exits: []string{"0"},
		},
		"exits with 3": {
			program: "exits with 3", status: 1, problems: []string{"The program's exit code was 3"}, exits: []string{"3"},
		},
		"leaves a process": {
			program: "leaves a process", status: 1, problems: []string{"Processes were left after its exit, in 4 of 4 shutdowns: "}, alone: true, exits: []string{"0"},
		},
		"exits with 128 plus the signal": {
			program: "exits with 143, as Java does", exits: []string{"143"},
		},
		"raises the signal again": {
			program: "raises SIGTERM again", exits: []string{"SIGTERM"},
		},
		"goes on answering on open connections": {
			program: "closes only its listener", status: 1, flags: []string{"--grace", "1s", "--mode", "keepalive"},
			problems: []string{"did not exit within 1s of SIGTERM. It had stopped listening, but went on answering on open connections."},
		},
		"what is left holds a request": {
			command: []string{"sh", "-c", `"$0"; true`, self}, program: "ignores SIGTERM", status: 1, flags: []string{"--held", "/never", "--mode", "new", "--rounds", "1"},
			problems: []string{"held timeout 1", "Processes were left"}, exits: []string{"SIGTERM"},
		},
		"the stop command does not return": {
			program: "ignores SIGTERM", status: 1, flags: []string{"--grace", "1s", "--stop-command", "sleep 3600", "--mode", "new"},
			problems: []string{"did not exit within 1s of \"sleep 3600\""},
		},
		"another signal": {
			program: "handles SIGUSR1", status: 1, flags: []string{"--signal", "usr1"}, problems: []string{"got no answer"}, alone: true, exits: []string{"0"},
		},
		"a stop command": {
			program: "library", flags: []string{"--stop-command", "kill $(cat " + pidFile + ")"}, exits: []string{"0"},
			command: []string{"sh", "-c", `echo $$ > "$1"; exec "$0"`, self, pidFile},
		},
		"python3 -m http.server": {
			command: []string{"python3", "-m", "http.server", "--bind", host, "8080"}, status: 1,
			problems: []string{"It has no handler for SIGTERM, so it cuts off what is in flight."}, exits: []string{"SIGTERM"},
		},
		"node's http": {
			command:  []string{"node", "-e", `require("http").createServer((q, s) => setTimeout(() => s.end("hello"), 2)).listen(8080, process.argv[1])`, host},
			status:   1,
			problems: []string{"got no answer", "SIGTERM ended it, in 4 of 4 shutdowns."}, exits: []string{"SIGTERM"},
		},
	} {
		forms := []string{"JSON"}
		if name == "with the library" || name == "net/http alone" || name == "a shell that ends alone" {
			forms = append(forms, "text")
		}
		for _, form := range forms {
			t.Run(name+", "+form, func(t *testing.T) {
				if runtime.GOOS != "linux" && test.status == 0 {
					t.Skip("zero loss is promised on Linux only")
				}
				command := test.command
				if command == nil {
					command = []string{self}
				}
				if _, err := exec.LookPath(command[0]); err != nil {
					require.Empty(t, os.Getenv("NIGHTLY"), "%v", err)
					t.Skip(err)
				}
				ip := loopback.Host()
				t.Setenv(addrVariable, ip+":8080")
				t.Setenv(programVariable, test.program)
				args := []string{"--url", "http://" + ip + ":8080/", "-c", "8", "--rounds", "2"}
				for _, f := range test.flags {
					if f == "https" {
						args[1] = "https://" + ip + ":8080/"
						continue
					}
					if v, ok := strings.CutPrefix(f, "env "); ok {
						t.Setenv(v, "1")
						continue
					}
					args = append(args, strings.ReplaceAll(f, host, ip))
				}
				if form == "JSON" {
					args = append(args, "--json")
				}
				args = append(args, "--")
				for _, a := range command {
					args = append(args, strings.ReplaceAll(a, host, ip))
				}
				var out strings.Builder
				status := run(args, &out, devNull(t))
				t.Log("\n" + out.String())
				require.Equal(t, test.status, status)
				if form == "text" {
					for _, p := range append(test.modes, test.problems...) {
						require.Contains(t, out.String(), p)
					}
					require.Equal(t, status == 0, strings.Contains(out.String(), "\nPASS: "))
					require.Equal(t, status == 1, strings.Contains(out.String(), "\nFAIL:\n"))
					return
				}
				var o output
				require.NoError(t, json.Unmarshal([]byte(out.String()), &o))
				require.Equal(t, status == 0, o.OK)
				require.Equal(t, len(o.Problems) == 0, o.OK)
				if test.alone {
					require.Len(t, o.Problems, 1)
				}
				for _, p := range test.problems {
					require.Contains(t, strings.Join(o.Problems, "\n"), p)
				}
				for _, e := range test.exits {
					require.Positive(t, o.Exits[e], "%v", o.Exits)
				}
				for i, mode := range test.modes {
					require.Equal(t, mode, o.Rows[i].Mode)
				}
			})
		}
	}
}

func devNull(t *testing.T) *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestWithoutAResultTheErrorSaysWhy(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		program string
		command []string
		flags   []string
		want    string
	}{
		"another path":             {"library", nil, []string{"path /no/such", "--start", "3s"}, "no answer that counts within 3s: 404"},
		"another port":             {"", []string{"sleep", "600"}, []string{"--start", "3s"}, "no answer that counts within 3s: nothing listens on "},
		"does not answer":          {"library", nil, []string{"path /never", "--start", "3s"}, "no answer that counts within 3s: the last request got none"},
		"does not start":           {"", []string{"/no/such/program"}, nil, "no such file or directory"},
		"ends at once":             {"", []string{"sh", "-c", "echo text of the program; exit 7"}, nil, "it ended before it answered a request, with 7; its output ends with:\ntext of the program"},
		"ends during the warm-up":  {"ends after five requests", nil, nil, "it ended before it was stopped, with 7"},
		"loses requests before":    {"fails every tenth", nil, nil, " requests were lost before the stop"},
		"held path does not exist": {"library", nil, []string{"--held", "/no/such"}, "the held request failed before the stop: 404"},
		"stop command fails":       {"library", nil, []string{"--stop-command", "echo text of the command; exit 3"}, "the stop command: exit status 3: text of the command"},
		"port in use":              {"library", nil, []string{"in use"}, "before the program has been started"},
	} {
		t.Run(name, func(t *testing.T) {
			ip := loopback.Host()
			t.Setenv(addrVariable, ip+":8080")
			t.Setenv(programVariable, test.program)
			args := []string{"--url", "http://" + ip + ":8080/", "-c", "4", "--rounds", "1"}
			for _, f := range test.flags {
				path, isPath := strings.CutPrefix(f, "path ")
				switch {
				case isPath:
					args[1] = "http://" + ip + ":8080" + path
				case f == "in use":
					ln, err := net.Listen("tcp", ip+":8080")
					require.NoError(t, err)
					defer ln.Close()
				default:
					args = append(args, f)
				}
			}
			command := test.command
			if command == nil {
				command = []string{self}
			}
			stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			require.NoError(t, err)
			defer stderr.Close()
			var out strings.Builder
			status := run(append(append(args, "--"), command...), &out, stderr)
			text, err := os.ReadFile(stderr.Name())
			require.NoError(t, err)
			require.Equal(t, exitNoResult, status, out.String())
			require.Contains(t, string(text), test.want)
		})
	}
}

// Nothing of the program and no file outlives a drill that is interrupted.
func TestAnInterruptEndsTheDrill(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			addr, tmp := loopback.Host()+":8080", t.TempDir()
			drill := exec.Command(self, "--url", "http://"+addr+"/", "-c", "4", "--grace", "1h", "--", self)
			drill.Env = append(os.Environ(), programVariable+"=drill", "DRILL_OF=ignores SIGTERM", addrVariable+"="+addr, "TMPDIR="+tmp)
			require.NoError(t, drill.Start())
			require.Eventually(t, func() bool {
				conn, err := net.Dial("tcp", addr)
				if err == nil {
					_ = conn.Close()
				}
				return err == nil
			}, 50*time.Second, time.Millisecond)
			require.NoError(t, drill.Process.Signal(sig))
			err := drill.Wait()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, exitNoResult, exit.ExitCode())
			_, err = net.Dial("tcp", addr)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			left, err := os.ReadDir(tmp)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
