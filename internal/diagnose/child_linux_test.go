package diagnose

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// inContainer returns a program that is PID 1 and has inherited a child, sleep 60, and its /proc.
func inContainer() (Process, fstest.MapFS) {
	files := fstest.MapFS{
		"self/status":       {Data: []byte("Pid:\t1\nPPid:\t0\nSigCgt:\t0\n")},
		"1/task/1/children": {Data: []byte("7 ")},
		"7/status":          {Data: []byte("Name:\tsleep\nState:\tS (sleeping)\nPid:\t7\nPPid:\t1\nSigCgt:\t0\n")},
		"7/cmdline":         {Data: []byte("sleep\x0060\x00")},
		"7/fd/0":            {Data: []byte("/dev/null"), Mode: fs.ModeSymlink},
		"self/fd/1":         {Data: []byte("pipe:[17]"), Mode: fs.ModeSymlink},
		"self/fd/2":         {Data: []byte("pipe:[18]"), Mode: fs.ModeSymlink},
		"self/fdinfo/3":     {Data: []byte("pos:\t0\nflags:\t02\n")},
	}
	return Process{Proc: files, PID: 1}, files
}

func TestAnInheritedChildIsReported(t *testing.T) {
	if fd, err := unix.PidfdOpen(os.Getpid(), 0); err != nil {
		t.Skipf("without pidfds an inherited child cannot be recognized: %v", err)
	} else {
		require.NoError(t, unix.Close(fd))
	}
	for name, test := range map[string]struct {
		change func(me *Process, files fstest.MapFS)
		found  bool
	}{
		"inherited": {func(*Process, fstest.MapFS) {}, true},
		"the program has started it": {func(_ *Process, files fstest.MapFS) {
			files["self/fdinfo/4"] = &fstest.MapFile{Data: []byte("pos:\t0\nPid:\t7\n")}
		}, false},
		"the program has started another": {func(_ *Process, files fstest.MapFS) {
			files["self/fdinfo/4"] = &fstest.MapFile{Data: []byte("Pid:\t77\n")}
		}, true},
		"it has ended": {func(_ *Process, files fstest.MapFS) {
			files["7/status"].Data = []byte("State:\tZ (zombie)\nPid:\t7\nPPid:\t1\nSigCgt:\t0\n")
		}, false},
		"it is reaped": {func(_ *Process, files fstest.MapFS) { delete(files, "7/status") }, false},
		"its pid is reused by a process that is no child": {func(_ *Process, files fstest.MapFS) {
			files["7/status"].Data = []byte("Pid:\t7\nPPid:\t3\nSigCgt:\t0\n")
		}, false},
		"it reads stdout":       {func(_ *Process, files fstest.MapFS) { files["7/fd/0"].Data = []byte("pipe:[17]") }, false},
		"it reads stderr":       {func(_ *Process, files fstest.MapFS) { files["7/fd/0"].Data = []byte("pipe:[18]") }, false},
		"it reads another pipe": {func(_ *Process, files fstest.MapFS) { files["7/fd/0"].Data = []byte("pipe:[19]") }, true},
		"it shares a terminal": {func(_ *Process, files fstest.MapFS) {
			files["7/fd/0"].Data, files["self/fd/1"].Data = []byte("/dev/pts/0"), []byte("/dev/pts/0")
		}, true},
		"the program is not PID 1":      {func(me *Process, _ fstest.MapFS) { me.PID = 2 }, false},
		"/proc is of another namespace": {func(_ *Process, files fstest.MapFS) { files["self/status"].Data = []byte("Pid:\t4711\nSigCgt:\t0\n") }, false},
		"/proc has no list of children": {func(_ *Process, files fstest.MapFS) { delete(files, "1/task/1/children") }, false},
		"there is no /proc":             {func(me *Process, _ fstest.MapFS) { me.Proc = nil }, false},
		"no pidfds are listed":          {func(_ *Process, files fstest.MapFS) { delete(files, "self/fdinfo/3") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			me, files := inContainer()
			test.change(&me, files)
			f, found := me.givenChild()
			require.Equal(t, test.found, found, "%s", f)
			if found {
				require.Contains(t, f.Problem, "PID 1 and was given a child, sleep 60 (pid 7)")
				require.Contains(t, f.Remedy, "shutdown-init")
			}
			findings := me.Look([]os.Signal{syscall.SIGHUP}, notIgnored)
			require.Equal(t, test.found, len(findings) == 1)
			require.Empty(t, me.Look(nil, notIgnored), "the program catches no signal")
		})
	}
}

func TestAChildThatStaysUnreapedIsReported(t *testing.T) {
	const status = "Name:\tsleep\nState:\t%s\nPid:\t7\nPPid:\t1\nSigCgt:\t0\n"
	for name, test := range map[string]struct {
		before, after string // its state
		wait          time.Duration
		found         bool
	}{
		"not reaped":                   {"Z (zombie)", "Z (zombie)", reapTime, true},
		"a shutdown that ends at once": {"Z (zombie)", "Z (zombie)", reapTime - time.Millisecond, false},
		"it is reaped":                 {"Z (zombie)", "", time.Minute, false},
		"it ends after the first look": {"S (sleeping)", "Z (zombie)", time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				me, files := inContainer()
				files["7/status"].Data = fmt.Appendf(nil, status, test.before)
				again := me.WatchUnreaped()
				time.Sleep(test.wait)
				files["7/status"].Data = fmt.Appendf(nil, status, test.after)
				if test.after == "" {
					delete(files, "7/status")
				}
				f, found := again()
				require.Equal(t, test.found, found)
				if found {
					require.Equal(t, "this program is PID 1 and does not reap its children: sleep (pid 7) has ended and is still there", f.Problem)
				}
			})
		})
	}
}
