package drill

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A program is a process that was started from a Target.
type program struct {
	cmd    *exec.Cmd
	output *os.File      // a temporary file; nil if the output goes elsewhere
	exited chan struct{} // closed when the process has exited

	exitedAt time.Time // set before exited is closed
}

// start starts the target's program. Its output goes to a file and not to a pipe, which
// processes that the program leaves behind would keep open.
func start(t *Target, output *os.File) (*program, error) {
	p := &program{cmd: exec.Command(t.Command[0], t.Command[1:]...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), t.Env...)
	p.cmd.SysProcAttr = ownGroup() // a Ctrl-C of this program's terminal is not for the program
	if output == nil {
		var err error
		if output, err = os.CreateTemp("", "shutdown-drill-*"); err != nil {
			return nil, err
		}
		p.output = output
		_ = os.Remove(output.Name()) // on Unix it is not found any more, and goes when it is closed
	}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		p.removeOutput()
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // exit tells it
		p.exitedAt = time.Now()
	}()
	return p, nil
}

func (p *program) signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("it ended before it was stopped, with %s", p.exit())
	}
	return err
}

// kill kills the process and waits for its exit.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // an error means that it has exited
	<-p.exited
}

func (p *program) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// onExit calls f when the process has exited, until stop is called.
func (p *program) onExit(f func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-p.exited:
			f()
		case <-done:
		}
	}()
	return func() { close(done) }
}

func (p *program) removeOutput() {
	if p.output != nil {
		_ = p.output.Close()
		_ = os.Remove(p.output.Name())
	}
}

// quote adds the end of the program's output to err.
func (p *program) quote(err error) error {
	if p.output == nil {
		return err
	}
	const most = 4 << 10
	info, statErr := p.output.Stat()
	if statErr != nil || info.Size() == 0 {
		return err
	}
	text := make([]byte, min(most, info.Size()))
	n, _ := p.output.ReadAt(text, info.Size()-int64(len(text))) // the program may write meanwhile
	return fmt.Errorf("%w; its output ends with:\n%s", err, lastLines(text[:n]))
}

// lastLines returns the last ten lines of text.
func lastLines(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-10):]
	for i, line := range lines {
		lines[i] = clip.Text(line)
	}
	return strings.Join(lines, "\n")
}

// exit waits for the exit and returns the exit code, or the name of the signal that ended
// the process.
func (p *program) exit() string {
	<-p.exited
	if signal := endedBy(p.cmd.ProcessState); signal != "" {
		return signal
	}
	return strconv.Itoa(p.cmd.ProcessState.ExitCode())
}
