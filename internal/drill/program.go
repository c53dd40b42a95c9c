package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A program is a process that was started from a Target.
type program struct {
	cmd    *exec.Cmd
	output *os.File      // a temporary file; nil if the output goes elsewhere
	exited chan struct{} // closed when the process has exited
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
	}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		p.forget()
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // exit tells it
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

// forget removes the output.
func (p *program) forget() {
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
	text, readErr := os.ReadFile(p.output.Name())
	if readErr != nil || len(text) == 0 {
		return err
	}
	return fmt.Errorf("%w; its output ends with:\n%s", err, lastLines(text))
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

// shell returns a command that a shell runs.
func shell(ctx context.Context, command string) *exec.Cmd {
	if runtime.GOOS == "windows" {
		return exec.CommandContext(ctx, "cmd", "/C", command)
	}
	return exec.CommandContext(ctx, "sh", "-c", command)
}
