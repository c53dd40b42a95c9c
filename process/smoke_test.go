package process_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

func TestSmoke(t *testing.T) {
	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", "echo hi; cat; exit 3")
	cmd.Stdin = bytes.NewBufferString("in\n")
	cmd.Stdout = &out
	cmd.Stderr = os.Stderr
	t0 := time.Now()
	tree, err := process.Start(cmd, process.Options{})
	require.NoError(t, err)
	t.Log(time.Since(t0))
	err = tree.Wait()
	t.Log(err, out.String(), tree.State(), cmd.ProcessState, time.Since(t0))

	cmd = exec.Command("sh", "-c", "echo hi; sleep 100 & sleep 100; exit 3")
	p, _ := cmd.StdoutPipe()
	tree, err = process.Start(cmd, process.Options{})
	require.NoError(t, err)
	b := make([]byte, 3)
	io.ReadFull(p, b)
	t0 = time.Now()
	t.Log(tree.Stop(context.Background()), time.Since(t0))
	t.Log(tree.Wait(), tree.State())

	cmd = exec.Command("sh", "-c", "trap '' TERM;echo hi; sleep 100 & setsid sleep 100; sleep 100; exit 3")
	p, _ = cmd.StdoutPipe()
	tree, err = process.Start(cmd, process.Options{Grace: 200 * time.Millisecond})
	require.NoError(t, err)
	io.ReadFull(p, b)
	t0 = time.Now()
	t.Log(tree.Stop(context.Background()), time.Since(t0))
	t.Log(tree.Wait(), tree.State())
	_, err = process.Start(exec.Command("/nonexist"), process.Options{})
	t.Log(err)
	_, err = process.Start(exec.Command("/etc/passwd"), process.Options{})
	t.Log(err)
}
