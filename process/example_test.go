//go:build unix

package process_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"github.com/gracefulgo/shutdown/process"
)

// A start script that does not exec: the signal reaches what it has started.
func ExampleTree_Stop() {
	cmd := exec.Command("sh", "-c", `sh -c 'trap "echo saved; exit 0" TERM; echo up; while :; do sleep 0.1; done'; exit $?`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	tree, err := process.Start(cmd, process.Options{Grace: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	fmt.Println(lines.Text())

	fmt.Println(tree.Stop(context.Background()), tree.State())
	lines.Scan()
	fmt.Println(lines.Text())
	fmt.Println(tree.Wait()) // the script itself has no handler
	// Output:
	// up
	// <nil> stopped
	// saved
	// signal: terminated
}
