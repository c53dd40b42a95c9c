//go:build unix

package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os/exec"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/process"
)

// noLog is for examples: a nil Logger would log to stderr.
var noLog = slog.New(slog.DiscardHandler)

// startExample starts a script whose first line of output says that it is ready.
func startExample(script string, o process.Options) (*process.Tree, *bufio.Reader) {
	o.Logger = noLog
	cmd := exec.Command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	tree, err := process.Start(cmd, o)
	if err != nil {
		log.Fatal(err)
	}
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil {
		log.Fatal(err)
	}
	return tree, r
}

// Stop is a hook of a shutdown.Manager: the shutdown waits until the whole tree has
// exited.
func Example() {
	m, err := shutdown.New(shutdown.Config{LameDuck: -1, Signals: shutdown.NoSignals(), Logger: noLog}) // in a program: shutdown.Config{}
	if err != nil {
		log.Fatal(err)
	}
	tree, _ := startExample(`trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done`, process.Options{Grace: 20 * time.Second})
	m.On(shutdown.Drain, "start.sh", tree.Stop)

	m.Begin(nil) // in a program: a signal
	fmt.Println(m.Wait(), tree.State())
	// Output: <nil> stopped
}

// The end of the command's context stops the tree, as Stop does.
func ExampleStart() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tree, err := process.Start(exec.CommandContext(ctx, "sleep", "600"), process.Options{Logger: noLog})
	if err != nil {
		fmt.Println(err)
		return
	}
	cancel()
	fmt.Println(tree.Wait(), tree.State())
	// Output: signal: terminated stopped
}

// A start script that does not exec: Stop also signals the program that it has
// started.
func ExampleTree_Stop() {
	tree, out := startExample(`sh -c 'trap "echo saved; exit 0" TERM; echo ready; while :; do sleep 0.05; done'; exit $?`,
		process.Options{Grace: 20 * time.Second})
	fmt.Println(tree.Stop(context.Background()), tree.State())
	rest, _ := io.ReadAll(out)
	fmt.Print(string(rest))
	fmt.Println(tree.Wait()) // the script has no handler
	// Output:
	// <nil> stopped
	// saved
	// signal: terminated
}

// Processes that do not exit within the grace period are killed.
func ExampleTree_Stop_killed() {
	tree, _ := startExample(`trap '' TERM; echo ready; sleep 600`, process.Options{Grace: 100 * time.Millisecond})
	err := tree.Stop(context.Background())
	fmt.Println(errors.Is(err, process.ErrKilled), tree.State())
	// Output: true killed
}

// Wait returns the child's result when its descendants have exited as well.
func ExampleTree_Wait() {
	tree, _ := startExample(`echo ready; sleep 0.1 & exit 3`, process.Options{})
	err := tree.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		fmt.Println(exit.ExitCode(), tree.State())
	}
	// Output: 3 ended
}

// Processes that may not be signalled, because they belong to another user, are
// listed in the error.
func ExampleSurvivorsError() {
	tree, err := process.Start(exec.Command("./start.sh"), process.Options{})
	if err != nil {
		log.Fatal(err)
	}
	var survivors *process.SurvivorsError
	if err := tree.Stop(context.Background()); errors.As(err, &survivors) {
		for _, s := range survivors.Survivors {
			log.Printf("process %d (%s): %v", s.Pid, s.Command, s.Err)
		}
	}
}
