//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

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
			problems: []string{"got no complete answer", "Its exit code was 0 all the same."}, alone: true, exits: []string{"0"},
		},
		"ignores SIGTERM": {
			program: "ignores SIGTERM", status: 1, flags: []string{"--grace", "1s"},
			problems: []string{"did not exit within 1s of SIGTERM, and went on answering"}, exits: []string{"SIGKILL"},
			modes: []string{"new connections"},
		},
		"hangs": {
			program: "hangs", status: 1, flags: []string{"--grace", "1s"},
			problems: []string{"did not exit within 1s of SIGTERM, and did not answer requests any more"}, exits: []string{"SIGKILL"},
		},
		"a shell that swallows SIGTERM": {
			command: []string{"sh", "-c", `trap "" TERM; "$0" & wait; wait`, self}, program: "handles SIGUSR1", status: 1, flags: []string{"--grace", "1s"},
			problems: []string{"did not exit within 1s of SIGTERM, and went on answering"}, exits: []string{"SIGKILL"},
		},
		"a shell that ends alone": {
			command: []string{"sh", "-c", `"$0"; true`, self}, program: "library", status: 1,
			problems: []string{"SIGTERM ended it", "Processes were left after its exit", "Something listened on"}, exits: []string{"SIGTERM"},
		},
		"exits with 0 and requests unanswered": {
			program: "exits at once", status: 1, flags: []string{"--held", "/slow"},
			problems: []string{"held EOF", "Its exit code was 0 all the same."}, alone: true, exits: []string{"0"},
		},
		"a held body is lost": {
			program: "exits at once", status: 1, flags: []string{"--body", "some text"},
			problems: []string{"held ", "Its exit code was 0 all the same."}, alone: true, exits: []string{"0"},
		},
		"exits with 3": {
			program: "exits with 3", status: 1, problems: []string{"Its exit code was 3"}, exits: []string{"3"},
		},
		"leaves a process": {
			program: "leaves a process", status: 1, problems: []string{"Processes were left after its exit, in 4 of 4 shutdowns: "}, alone: true, exits: []string{"0"},
		},
		"another signal": {
			program: "handles SIGUSR1", status: 1, flags: []string{"--signal", "usr1"}, problems: []string{"got no complete answer"}, alone: true, exits: []string{"0"},
		},
		"a stop command": {
			program: "library", flags: []string{"--stop-command", "kill $(cat " + pidFile + ")"}, exits: []string{"0"},
			command: []string{"sh", "-c", `echo $$ > "$1"; exec "$0"`, self, pidFile},
		},
		"python3 -m http.server": {
			command: []string{"python3", "-m", "http.server", "--bind", host, "8080"}, status: 1,
			problems: []string{"SIGTERM ended it, in 4 of 4 shutdowns: it does not handle the signal"}, exits: []string{"SIGTERM"},
		},
		"node's http": {
			command:  []string{"node", "-e", `require("http").createServer((q, s) => setTimeout(() => s.end("hello"), 2)).listen(8080, process.argv[1])`, host},
			status:   1,
			problems: []string{"got no complete answer", "SIGTERM ended it, in 4 of 4 shutdowns: it does not handle the signal"}, exits: []string{"SIGTERM"},
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
				for _, p := range append(test.modes, test.problems...) {
					require.Contains(t, out.String(), p)
				}
				if form == "text" {
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
				for _, e := range test.exits {
					require.Positive(t, o.Exits[e], "%v", o.Exits)
				}
				if test.modes != nil {
					require.Len(t, o.Rows, len(test.modes))
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
