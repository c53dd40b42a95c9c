package process

import (
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Options say how a tree is stopped. The zero value is SIGTERM and ten seconds.
type Options struct {
	// Signal asks the processes to exit. Nil is SIGTERM. SIGKILL and SIGSTOP are
	// refused, because no process can handle them; use Tree.Kill. On Windows
	// CTRL_BREAK is sent, which Go programs receive as os.Interrupt, and only
	// SIGTERM and os.Interrupt are accepted.
	Signal os.Signal
	// Grace is the time from Signal until Stop kills the processes that are left.
	// Zero is ten seconds.
	Grace time.Duration
	// Logger logs every step of the tree. Nil is slog.Default(). A logger that
	// blocks delays nothing: lines that do not fit into a queue are dropped and
	// counted.
	Logger *slog.Logger
}

const defaultGrace = 10 * time.Second

func (o *Options) check() error {
	if o.Grace < 0 {
		return fmt.Errorf("process: Options.Grace: %v is negative", o.Grace)
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Signal == nil {
		o.Signal = defaultSignal
	}
	return checkSignal(o.Signal)
}
