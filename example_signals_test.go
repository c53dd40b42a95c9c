package shutdown_test

import (
	"fmt"
	"os"
	"syscall"

	"github.com/gracefulgo/shutdown"
)

func ExampleConfig_signals() {
	m, err := shutdown.New(shutdown.Config{
		Signals: map[os.Signal]shutdown.Action{
			os.Interrupt: shutdown.GracefulThenForce,
			os.Kill:      shutdown.Immediate,
		},
	})
	fmt.Println(m, err)
	// Output: <nil> shutdown: Config.Signals: SIGKILL cannot be caught by any program
}

func ExampleDefaultSignals() {
	cfg := quiet
	cfg.Signals = shutdown.DefaultSignals()
	cfg.Signals[syscall.SIGHUP] = func(*shutdown.Manager, os.Signal) { fmt.Println("reload the configuration") }
	m, _ := shutdown.New(cfg)
	m.Signal(syscall.SIGHUP) // in a program: kill -HUP
	m.Signal(syscall.SIGTERM)
	fmt.Println(m.Wait(), m.Report().Cause)
	// Output:
	// reload the configuration
	// <nil> signal SIGTERM
}

// For tests: no signal is caught, and Manager.Signal stands in for one.
func ExampleNoSignals() {
	m, _ := shutdown.New(shutdown.Config{Signals: shutdown.NoSignals(), Logger: quiet.Logger})
	m.Signal(os.Interrupt)
	fmt.Println(m.Wait(), m.Report().Cause)
	// Output: <nil> signal SIGINT
}
