package process

import (
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Options are how a tree is stopped. The zero value is SIGTERM and ten seconds.
type Options struct {
	// Signal asks the tree to end. Nil is SIGTERM. SIGKILL and SIGSTOP are
	// refused: nobody can catch them, so there would be nothing to wait for;
	// Tree.Kill is for that. On Windows it is always CTRL_BREAK, which Go
	// programs see as os.Interrupt, and only SIGTERM and os.Interrupt are
	// accepted.
	Signal os.Signal
	// Grace is how long Stop waits after Signal before it kills what is left.
	// Zero is ten seconds.
	Grace time.Duration
	// Logger is told every step. Nil is slog.Default(). One that blocks holds
	// nothing up: lines that find no room are dropped and counted.
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
