package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
)

func ExampleManager_Report() {
	m, _ := shutdown.New(quiet)
	m.On(shutdown.Leave, "registry", func(context.Context) error { return nil })
	m.On(shutdown.Close, "metrics", func(context.Context) error { return errors.New("connection refused") })
	fmt.Println(m.Report().Result())
	m.Begin(nil) // in a program: a signal
	_ = m.Wait()
	r := m.Report()
	fmt.Println(r.Result())
	for _, step := range r.Steps {
		if step.Name != "" { // a hook; the other steps are phases
			fmt.Println(step.Phase, step.Name, step.Err)
		}
	}
	// Output:
	// running
	// finished with errors
	// leave registry <nil>
	// close metrics connection refused
}

func ExampleReport_String() {
	r := shutdown.Report{
		Phase: shutdown.Done, Begun: time.Now(), Took: 8 * time.Second,
		Cause:       shutdown.SignalError{Signal: os.Interrupt},
		GracePeriod: 30 * time.Second, GraceSource: "SHUTDOWN_GRACE_PERIOD",
		Timeout: 27 * time.Second, LameDuck: 5 * time.Second, Reserve: 5400 * time.Millisecond,
		Steps: []shutdown.Step{
			{Phase: shutdown.Leave, Took: 5 * time.Second},
			{Phase: shutdown.Leave, Name: "registry", Took: time.Second},
			{Phase: shutdown.Drain, At: 5 * time.Second, Took: 2 * time.Second},
			{Phase: shutdown.Drain, Name: "http", At: 5 * time.Second, Took: 2 * time.Second},
			{Phase: shutdown.Close, At: 7 * time.Second, Took: time.Second},
			{Phase: shutdown.Close, Name: "db", At: 7 * time.Second, Took: time.Second},
		},
	}
	fmt.Println(r)
	// Output:
	// shutdown: finished after 8s, cause: signal SIGINT
	// grace period 30s (SHUTDOWN_GRACE_PERIOD), timeout 27s, reserve 5.4s, lame duck 5s
	//                              0------------------------------------------r----------T----K
	// leave                        ===========                                :          :    : 5s
	//   registry                   ###                                        :          :    : 1s
	// drain                                  =====                            :          :    : 2s
	//   http                                 #####                            :          :    : 2s
	// close                                      ===                          :          :    : 1s
	//   db                                       ###                          :          :    : 1s
}

// A record is kept by a program that sets Config.Record.
func ExampleManager_LastRun() {
	m, err := shutdown.New(shutdown.Config{Record: "/var/lib/orders/shutdown-record"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if last, killed := m.LastRun(); killed {
		fmt.Printf("the last run was %s when it was killed\n%v\n", last.Result(), last)
	}
}
