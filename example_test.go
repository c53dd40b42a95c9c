package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
)

// quiet is for examples: no signals, no log.
var quiet = shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, Logger: slog.New(slog.DiscardHandler)}

func Example() {
	m, err := shutdown.New(quiet) // in a program: shutdown.Config{}
	if err != nil {
		fmt.Println(err)
		return
	}
	m.On(shutdown.Close, "db", func(context.Context) error { fmt.Println("close the database"); return nil })
	m.On(shutdown.Close, "cache", func(context.Context) error { fmt.Println("flush the cache"); return nil })
	m.On(shutdown.Leave, "registry", func(context.Context) error { fmt.Println("leave the registry"); return nil })
	done, ok := m.Track("GET /orders/17")
	go func() {
		<-m.AcceptContext().Done()
		fmt.Println("answer the request")
		done()
	}()

	m.Begin(nil) // in a program: a signal
	fmt.Println(ok, shutdown.ExitCode(m.Wait()))
	// Unordered output:
	// leave the registry
	// answer the request
	// flush the cache
	// close the database
	// true 0
}

func ExampleManager_Track() {
	m, _ := shutdown.New(quiet)
	handle := func(msg string) error {
		done, ok := m.Track("message " + msg)
		if !ok {
			return errors.New("too late: put it back")
		}
		defer done()
		return nil
	}
	fmt.Println(handle("one"))
	m.Begin(nil)
	_ = m.Wait()
	fmt.Println(handle("two"))
	// Output:
	// <nil>
	// too late: put it back
}

func ExampleManager_Go() {
	m, _ := shutdown.New(quiet)
	m.Go("job", func(ctx context.Context) error {
		m.Begin(nil) // in a program: a signal
		<-ctx.Done()
		return errors.New("stopped at row 17")
	})
	err := m.Wait()
	fmt.Println(err)
	fmt.Println(shutdown.ExitCode(err))
	// Output:
	// shutdown: worker "job": stopped at row 17
	// 1
}

func ExampleFromContext() {
	m, _ := shutdown.New(quiet)
	m.Go("batches", func(ctx context.Context) error {
		// Deep in a call stack:
		if m, ok := shutdown.FromContext(ctx); ok {
			for m.Phase() == shutdown.Running {
				m.Begin(nil) // one more batch, and in a program no Begin
			}
			fmt.Println("no more batches")
		}
		return nil
	})
	_ = m.Wait()
	// Output: no more batches
}

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

func ExampleManager_Job() {
	m, _ := shutdown.New(quiet)
	m.Job("import", func(context.Context) error {
		return errors.New("row 17: bad date")
	})
	err := m.Wait() // returns when the last job has
	fmt.Println(err)
	fmt.Println(shutdown.ExitCode(err))
	// Output:
	// shutdown: job "import": row 17: bad date
	// 1
}

func ExampleBestEffort() {
	m, _ := shutdown.New(quiet)
	m.On(shutdown.Close, "db", func(context.Context) error { fmt.Println("close the database"); return nil })
	m.On(shutdown.Close, "traces", shutdown.BestEffort(2*time.Second, func(context.Context) error {
		return errors.New("collector: connection refused")
	}))
	m.Begin(nil) // in a program: a signal
	fmt.Println(shutdown.ExitCode(m.Wait()))
	// Output:
	// close the database
	// 0
}
