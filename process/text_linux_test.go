//go:build !processgroup

package process

import (
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/reaper"
)

func TestAListOfManyProcessesFitsIntoALine(t *testing.T) {
	many := make([]reaper.Process, 1000)
	for i := range many {
		many[i] = reaper.Process{Pid: 1000 + i, Command: strings.Repeat("x", 80), Age: time.Hour}
	}
	many[0].Errno = unix.EPERM
	text := list(len(many), many)
	require.LessOrEqual(t, len(text), clip.Max)
	require.Contains(t, text, "1000 xxx")
	require.Contains(t, text, "(operation not permitted), 1001 ")
	require.Equal(t, "7 app (1.2s) and 1 more", list(2, []reaper.Process{{Pid: 7, Command: "app", Age: 1234 * time.Millisecond}}))
	many = many[:0]
	for range 1000 {
		many = append(many, reaper.Process{Pid: 7, Command: "sh"})
	}
	require.True(t, strings.HasSuffix(list(len(many), many), "7 sh (0s) and 980 more"))

	survivors := make([]Survivor, 1000)
	for i := range survivors {
		survivors[i] = Survivor{Pid: i, Command: strings.Repeat("x", 1<<20), Err: errStillThere}
	}
	err := &SurvivorsError{Root: 7, Command: "app", Survivors: survivors}
	require.ErrorContains(t, err, "process: tree 7 (app): 1000 processes could not be ended: 0 xxx")
	require.LessOrEqual(t, len(err.Error()), clip.Max)
}

func TestALongCommandIsOneShortLine(t *testing.T) {
	line := oneLine(exec.Command("/bin/sh", "-c", "first\n\tsecond\x1b[2J"+strings.Repeat("\u20ac", 100<<10)))
	require.True(t, strings.HasPrefix(line, "/bin/sh -c first  second [2J\u20ac"), line)
	require.True(t, strings.HasSuffix(line, "\u20ac..."), line)
	require.LessOrEqual(t, len(line), 80)
	require.True(t, utf8.ValidString(line))
}

func TestAStatusNamesItsSignal(t *testing.T) {
	cmd := exec.Command("sh", "-c", "kill -TERM $$")
	_ = cmd.Run() // its status is checked
	require.Equal(t, "signal SIGTERM", statusText(cmd.ProcessState))
	cmd = exec.Command("sh", "-c", "exit 7")
	_ = cmd.Run()
	require.Equal(t, "exit status 7", statusText(cmd.ProcessState))
}
