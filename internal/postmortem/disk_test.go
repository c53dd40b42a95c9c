package postmortem_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/postmortem"
)

func TestALockExcludesEveryOtherOpenFileOfThisProcessToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := postmortem.ProcessDisk.Lock(path)
	require.NoError(t, err)
	_, err = postmortem.ProcessDisk.Lock(path)
	require.ErrorIs(t, err, postmortem.ErrLocked)
	require.NoError(t, lock.Close())
	lock, err = postmortem.ProcessDisk.Lock(path)
	require.NoError(t, err)
	require.NoError(t, lock.Close())

	_, err = postmortem.ProcessDisk.Lock(filepath.Join(t.TempDir(), "missing", "lock"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorIs(t, err, postmortem.ErrLocked)
}

func TestAFileIsReplacedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record")
	require.NoError(t, os.WriteFile(path, []byte("the record of the last run, which was longer"), 0o600))
	require.NoError(t, os.WriteFile(path+".tmp", []byte("what it left when it was killed"), 0o600))
	before, err := os.Open(path)
	require.NoError(t, err)
	defer before.Close()

	require.NoError(t, postmortem.ProcessDisk.Write(path, []byte("new")))
	text, err := postmortem.ProcessDisk.Read(path)
	require.NoError(t, err)
	require.Equal(t, "new", string(text))
	require.NoFileExists(t, path+".tmp")
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Zero(t, info.Mode().Perm()&0o007, "names of requests are not for everybody")
		old := make([]byte, 100)
		n, err := before.Read(old)
		require.NoError(t, err)
		require.Contains(t, string(old[:n]), "last run", "who reads it meanwhile reads the old one")
	}
}

func TestAFileThatCannotBeReplacedLeavesNothingBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "full"), 0o700))
	require.Error(t, postmortem.ProcessDisk.Write(path, []byte("new")))
	require.NoFileExists(t, path+".tmp")
	require.DirExists(t, path)
	require.ErrorIs(t, postmortem.ProcessDisk.Write(filepath.Join(t.TempDir(), "missing", "record"), nil), os.ErrNotExist)
}

func TestOnlyAFileThatMayBeARecordIsRead(t *testing.T) {
	dir := t.TempDir()
	_, err := postmortem.ProcessDisk.Read(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = postmortem.ProcessDisk.Read(dir)
	require.ErrorContains(t, err, "no regular file")
	_, err = postmortem.ProcessDisk.Read(os.DevNull)
	require.ErrorContains(t, err, "no regular file")
	for length, want := range map[int]string{postmortem.MaxRecord: "", postmortem.MaxRecord + 1: "too long"} {
		path := filepath.Join(dir, "long")
		require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", length)), 0o600))
		text, err := postmortem.ProcessDisk.Read(path)
		if want == "" {
			require.NoError(t, err)
			require.Len(t, text, length)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}
