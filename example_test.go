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

// quiet is the Config of the examples: it catches no signals and logs nothing. A program uses
// shutdown.Config{}.
var quiet = shutdown.Config{Signals: shutdown.NoSignals(), Logger: slog.New(slog.DiscardHandler)}

func Example() {
	m, err := shutdown.New(quiet) // in a program: shutdown.Config{}
	if err != nil {
		fmt.Println(err)
		return
	}
	m.On(shutdown.Close, "db", func(context.Context) error { fmt.Println("close the database"); return nil })
	m.On(shutdown.Close, "cache", func(context.Context) error { fmt.Println("flush the cache"); return nil })
	m.On(shutdown.Leave, "registry", func(context.Context) error { fmt.Println("deregister"); return nil })
	done, ok := m.Track("GET /orders/17")
	go func() {
		<-m.AcceptContext().Done()
		fmt.Println("answer the request")
		done()
	}()

	m.Begin(nil) // in a program: a signal
	fmt.Println(ok, shutdown.ExitCode(m.Wait()))
	// Unordered output:
	// deregister
	// answer the request
	// flush the cache
	// close the database
	// true 0
}

func ExampleRun() {
	start := func(m *shutdown.Manager) error {
		m.On(shutdown.Close, "db", func(context.Context) error { fmt.Println("close the database"); return nil })
		return errors.New("listen tcp :8080: bind: address already in use")
	}
	err := shutdown.Run(quiet, start) // in a program: shutdown.Config{}
	fmt.Println(err)
	fmt.Println(shutdown.ExitCode(err))
	// Output:
	// close the database
	// shutdown: start: listen tcp :8080: bind: address already in use
	// 1
}

func ExampleNew() {
	_, err := shutdown.New(shutdown.Config{GracePeriod: 30 * time.Second, Timeout: time.Minute})
	fmt.Println(err)
	// Output: shutdown: Config.Timeout: 1m0s is not shorter than GracePeriod, 30s
}

func ExampleManager_On() {
	m, _ := shutdown.New(quiet)
	m.On(shutdown.Close, "db", func(context.Context) error { fmt.Println("close the database"); return nil })
	m.On(shutdown.Close, "cache", func(context.Context) error { fmt.Println("flush the cache"); return nil })
	remove := m.On(shutdown.Close, "import", func(context.Context) error { fmt.Println("close the import"); return nil })
	fmt.Println("removed:", remove()) // it is closed already

	m.Begin(nil) // in a program: a signal
	_ = m.Wait()
	// Output:
	// removed: true
	// flush the cache
	// close the database
}

func ExampleManager_Begin() {
	m, _ := shutdown.New(quiet)
	m.On(shutdown.Close, "db", func(context.Context) error { fmt.Println("close the database"); return nil })
	m.Begin(errors.New("lost the leader lease")) // not log.Fatal, which skips hooks
	err := m.Wait()
	fmt.Println(err)
	fmt.Println(shutdown.ExitCode(err))
	// Output:
	// close the database
	// lost the leader lease
	// 1
}

func ExampleManager_Force() {
	m, _ := shutdown.New(quiet)
	_, _ = m.Track("GET /orders/17") // never ends
	m.Force(shutdown.SignalError{Signal: os.Interrupt})
	err := m.Wait()
	fmt.Println(errors.Is(err, shutdown.ErrForced), shutdown.ExitCode(err))
	fmt.Println("cut off:", m.Report().CutOff[0].Name)
	// Output:
	// true 130
	// cut off: GET /orders/17
}

func ExampleManager_Wait() {
	m, _ := shutdown.New(quiet)
	m.On(shutdown.Close, "metrics", func(context.Context) error { return errors.New("connection refused") })
	m.Begin(nil) // in a program: a signal
	err := m.Wait()
	fmt.Println(err)
	var failed *shutdown.HookError
	if errors.As(err, &failed) {
		fmt.Println(failed.Phase, failed.Name)
	}
	// Output:
	// shutdown: close hook "metrics": connection refused
	// close metrics
}

func ExampleManager_Reached() {
	m, _ := shutdown.New(quiet)
	done, _ := m.Track("GET /websocket")
	go func() {
		defer done()
		<-m.Reached(shutdown.Drain)
		fmt.Println("send a close frame")
	}()
	m.On(shutdown.Close, "db", func(context.Context) error { fmt.Println("close the database"); return nil })
	m.Begin(nil) // in a program: a signal
	_ = m.Wait()
	// Output:
	// send a close frame
	// close the database
}

func ExampleManager_WaitFor() {
	m, _ := shutdown.New(quiet)
	drained := make(chan struct{}) // in a program: Drained of a server
	m.On(shutdown.Drain, "http", func(context.Context) error {
		defer close(drained)
		fmt.Println("answer the last request, which sends a mail")
		return nil
	})
	m.On(shutdown.Drain, "mailer", func(ctx context.Context) error {
		m.WaitFor(ctx, "mailer", drained)
		fmt.Println("stop the mailer")
		return nil
	})
	m.Begin(nil) // in a program: a signal
	_ = m.Wait()
	// Output:
	// answer the last request, which sends a mail
	// stop the mailer
}

func ExampleCloser() {
	m, _ := shutdown.New(quiet)
	file, err := os.CreateTemp("", "orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file.Name())
	m.On(shutdown.Close, "orders", shutdown.Closer(file))
	m.Begin(nil) // in a program: a signal
	fmt.Println(m.Wait())
	fmt.Println(errors.Is(file.Close(), os.ErrClosed))
	// Output:
	// <nil>
	// true
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
