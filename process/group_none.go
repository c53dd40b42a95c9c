//go:build !unix && !windows

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// A group does not exist on this system.
type group struct{}

var defaultSignal os.Signal = os.Interrupt

// statusText returns "exit status 1".
func statusText(status *os.ProcessState) string { return status.String() }

func checkSignal(os.Signal) error { return nil }

func isPipeGone(error) bool { return false }

func startGroup(*exec.Cmd) (*group, error) {
	return nil, fmt.Errorf("process: process trees: %w", errors.ErrUnsupported)
}

func (g *group) signal(os.Signal) error  { return errors.ErrUnsupported }
func (g *group) kill() error             { return errors.ErrUnsupported }
func (g *group) left() (int, []Survivor) { return 0, nil }
func (g *group) close()                  {}
