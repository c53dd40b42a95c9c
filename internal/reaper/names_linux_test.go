package reaper

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The kernel reads a command line from the member's memory, and waits for its lock,
// which may be for ever.
func TestACommandLineThatCannotBeReadDoesNotPreventTheKill(t *testing.T) {
	in, theirIn, err := os.Pipe()
	require.NoError(t, err)
	out, theirOut, err := os.Pipe()
	require.NoError(t, err)
	files := &syscall.ProcAttr{Files: []uintptr{in.Fd(), theirOut.Fd(), 2}}
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", `trap "" TERM; echo up; read -r word`}, files)
	require.NoError(t, err)
	defer theirIn.Close()
	defer in.Close()
	theirOut.Close()
	_, err = out.Read(make([]byte, 3))
	require.NoError(t, err)
	out.Close()

	events := make(chan Event, 100)
	r := New(pid, func(e Event) { events <- e })
	release := make(chan struct{})
	r.command = func(member) string { <-release; return "" }
	defer func() {
		close(release)
		r.naming <- struct{}{} // no goroutine calls command any more
	}()
	ended := make(chan Result, 1)
	go func() { ended <- r.Run() }()
	r.Stop(unix.SIGTERM, 1200*time.Millisecond, false)
	select {
	case result := <-ended:
		require.Equal(t, Killed, result.Phase)
	case <-time.After(30 * time.Second):
		require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		t.Fatal("it was not killed")
	}
	close(events)
	var kinds []Kind
	for e := range events {
		for _, p := range e.Processes {
			require.Equal(t, Process{Pid: pid, Command: "[sh]", Age: p.Age}, p, "what is known without the command line")
			kinds = append(kinds, e.Kind)
		}
	}
	require.Contains(t, kinds, Killing)
}
