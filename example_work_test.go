package shutdown_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gracefulgo/shutdown"
)

func ExampleManager_Track() {
	m, _ := shutdown.New(quiet)
	handle := func(msg string) error {
		done, ok := m.Track("message " + msg)
		if !ok {
			return errors.New("too late: return it to the queue")
		}
		defer done()
		return nil
	}
	fmt.Println(handle("one"))
	m.Begin(nil) // in a program: a signal
	_ = m.Wait()
	fmt.Println(handle("two"))
	// Output:
	// <nil>
	// too late: return it to the queue
}

func ExampleManager_Go() {
	m, _ := shutdown.New(quiet)
	messages := make(chan string, 1)
	messages <- "one"
	m.Go("consumer", func(ctx context.Context) error { // ctx is AcceptContext
		for {
			select {
			case msg := <-messages: // fetched with ctx, handled with WorkContext
				m.Begin(nil) // in a program: a signal
				fmt.Println("finish message", msg, m.WorkContext().Err())
			case <-ctx.Done():
				return ctx.Err() // counts as success
			}
		}
	})
	fmt.Println(m.Wait())
	// Output:
	// finish message one <nil>
	// <nil>
}

func ExampleManager_Job() {
	m, _ := shutdown.New(quiet)
	m.Job("import", func(context.Context) error {
		return errors.New("row 17: bad date")
	})
	err := m.Wait() // returns when the last job has returned
	fmt.Println(err)
	fmt.Println(shutdown.ExitCode(err))
	// Output:
	// shutdown: job "import": row 17: bad date
	// 1
}

func ExampleFromContext() {
	m, _ := shutdown.New(quiet)
	m.Go("batches", func(ctx context.Context) error {
		// Deep in a call stack:
		if m, ok := shutdown.FromContext(ctx); ok {
			for m.Phase() == shutdown.Running {
				m.Begin(nil) // in a program: handle one more batch
			}
			fmt.Println("no more batches")
		}
		return nil
	})
	_ = m.Wait()
	// Output: no more batches
}

func ExampleTracker() {
	var uploads shutdown.Tracker
	done, ok := uploads.Track("PUT /photo.jpg")
	fmt.Println(ok, uploads.Tasks()[0].Name)
	go done() // the upload ends

	fmt.Println(uploads.Drain(context.Background()))
	_, ok = uploads.Track("PUT /late.jpg")
	fmt.Println(ok)
	// Output:
	// true PUT /photo.jpg
	// <nil>
	// false
}
