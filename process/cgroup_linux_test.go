//go:build !processgroup

package process_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

func TestTheReaperAndTheChildAreStartedInTheCgroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a cgroup")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	var group string
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " - cgroup2 ") {
			group = filepath.Join(strings.Fields(line)[4], fmt.Sprintf("process-test-%d", os.Getpid()))
		}
	}
	if group == "" || os.Mkdir(group, 0o755) != nil {
		t.Skip("no cgroup v2 that can be written to")
	}
	defer os.Remove(group)
	dir, err := os.Open(group)
	require.NoError(t, err)
	defer dir.Close()

	cmd := exec.Command("sh", "-c", `cat /proc/self/cgroup /proc/$PPID/cgroup`)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
	require.Equal(t, 2, strings.Count(out.String(), "/"+filepath.Base(group)+"\n"), "%s", out.String())
}
