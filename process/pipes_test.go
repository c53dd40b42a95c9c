//go:build unix

package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

func TestReadersAndWritersAreCopiedAsByExec(t *testing.T) {
	var out, errs bytes.Buffer
	cmd := shell("cat; echo problem >&2")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("input\n"), &out, &errs
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
	require.Equal(t, "input\n", out.String())
	require.Equal(t, "problem\n", errs.String())
	require.Equal(t, &out, cmd.Stdout, "cmd is restored")

	out.Reset()
	cmd = shell("for i in 1 2 3 4; do echo out; echo err >&2; done")
	cmd.Stdout, cmd.Stderr = &out, &out // one writer, one goroutine
	tree, err = process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
	require.Equal(t, strings.Repeat("out\nerr\n", 4), out.String())
}

func TestWaitReturnsTheErrorOfACopy(t *testing.T) {
	cmd := shell("echo lost")
	cmd.Stdout = full{}
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.ErrorIs(t, tree.Wait(), errFull)

	cmd = shell("cat")
	cmd.Stdin = io.MultiReader(strings.NewReader("a"), new(mute))
	tree, err = process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.ErrorContains(t, tree.Wait(), "nothing to read")

	cmd = shell("exec true") // does not read its input, which is no error
	cmd.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	tree, err = process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
}

type full struct{}

var errFull = errors.New("disk full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWaitDoesNotWaitForStdin(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	cmd := shell("exit 2")
	cmd.Stdin = r
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	isExit(t, tree.Wait(), 2, 0)
}

func TestWaitDelayBoundsTheWaitForAWriter(t *testing.T) {
	r, w := io.Pipe() // never read
	defer r.Close()
	cmd := shell("echo hello")
	cmd.Stdout, cmd.WaitDelay = w, 50*time.Millisecond
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.ErrorIs(t, tree.Wait(), exec.ErrWaitDelay)
	require.Equal(t, 50*time.Millisecond, cmd.WaitDelay)
}

// Stop does not close a StdoutPipe that has not been read to its end.
func TestTheCommandsPipesWork(t *testing.T) {
	cmd := shell(`trap 'read -r word; echo "got $word"; exit 0' TERM; echo up; while :; do sleep 0.1; done`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	tree, out := start(t, cmd, process.Options{})
	_, err = io.WriteString(in, "it\n")
	require.NoError(t, err)
	require.NoError(t, tree.Stop(soonContext(t)))
	require.Equal(t, "got it\n", rest(t, out))
	require.NoError(t, tree.Wait())
}

// Neither the program nor the reaper holds the child's files open.
func TestAPipeEndsWhenTheChildClosesIt(t *testing.T) {
	tree, out := start(t, shell(`echo up; exec >&-; sleep 600`), process.Options{})
	require.Empty(t, rest(t, out))
	require.Equal(t, process.Running, tree.State())
}

func TestTheChildGetsTheCommandsFilesDirectoryAndArguments(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\npwd; echo \"$0 $1\"; cat <&3; cat <&5; echo bad\xff\n"), 0o755))
	file := func(text string) *os.File {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		_, err = io.WriteString(w, text)
		require.NoError(t, err)
		w.Close()
		t.Cleanup(func() { r.Close() })
		return r
	}
	var out bytes.Buffer
	cmd := exec.Command("./tool", "arg\xfe")
	cmd.Dir, cmd.Stdout = dir, &out
	cmd.ExtraFiles = []*os.File{file("three\n"), nil, file("five\n")}
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
	require.Equal(t, dir+"\n./tool arg\xfe\nthree\nfive\nbad\xff\n", out.String())
	require.Len(t, cmd.ExtraFiles, 3)
	require.Equal(t, "./tool", cmd.Path)
}

func TestTheChildGetsALargeEnvironment(t *testing.T) {
	cmd := shell(`echo ${#BIG_3}`)
	cmd.Env = os.Environ()
	for i := range 8 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("BIG_%d=%s", i, strings.Repeat("x", 100_000)))
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
	require.Equal(t, "100000\n", out.String())
}

func TestTheChildDoesNotInheritTheLibrarysVariables(t *testing.T) {
	t.Setenv("SHUTDOWN_GRACE_PERIOD", "60")
	t.Setenv("SHUTDOWN_LAME_DUCK", "3s")
	t.Setenv("SHUTDOWN_PRESTOP", "5s")
	t.Setenv("SHUTDOWN_PRESTOP_TOKEN", "secret")
	t.Setenv("OTHER", "kept")
	env := func(set ...string) string {
		var out bytes.Buffer
		cmd := exec.Command("env")
		cmd.Stdout = &out
		if set != nil {
			cmd.Env = append(os.Environ(), set...)
		}
		tree, err := process.Start(cmd, process.Options{Logger: quiet})
		require.NoError(t, err)
		require.NoError(t, tree.Wait())
		return out.String()
	}
	inherited := env()
	require.Contains(t, inherited, "OTHER=kept\n")
	require.NotContains(t, inherited, "SHUTDOWN_")
	chosen := env("SHUTDOWN_GRACE_PERIOD=10", "MORE=1")
	require.Contains(t, chosen, "SHUTDOWN_GRACE_PERIOD=10\n")
	require.NotContains(t, chosen, "SHUTDOWN_LAME_DUCK")
}
