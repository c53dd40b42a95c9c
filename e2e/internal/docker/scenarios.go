//go:build linux

package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

const (
	library = "library"
	naive   = "naive"
	rounds  = 10
)

// docker run: Docker's own grace period is what the service guesses, 10 s.
func orders(args ...string) []string {
	return append(args, libraryImage)
}

var scenarios = []scenario{
	{
		name: "docker stop", service: library, shows: []string{"R3", "R7", "R10", "R11"}, short: true,
		run: orders(), stop: dockerStop, rounds: rounds, expect: clean,
	},
	{
		name: "docker stop", service: naive, short: true,
		run: []string{naiveImage}, stop: dockerStop, rounds: rounds, expect: anything,
	},
	{
		name: "docker stop, all capabilities dropped, read-only root", service: library, shows: []string{"R7"},
		run: orders("--cap-drop", "ALL", "--read-only"), stop: dockerStop, rounds: rounds, expect: clean,
	},
	{
		name: "docker stop, a request hangs", service: library, shows: []string{"R10", "R26"}, hung: true, short: true,
		run: orders(), stop: dockerStop, rounds: 3,
		expect: func(row *report.Row, log []line) {
			row.NothingLost()
			row.ExitsOnly("1")
			row.GoneWithin(10 * time.Second)
			if l := says(row, log, "shutdown: timed out"); l != nil && !strings.Contains(fmt.Sprint(l), "POST /orders") {
				row.Problem("the last line does not name the request: %v", l)
			}
			row.Says = "timed out; cut off: POST /orders"
		},
	},
}

func clean(row *report.Row, log []line) {
	row.NothingLost()
	row.ExitsOnly("0")
	says(row, log, "shutdown: finished")
}

func anything(*report.Row, []line) {}

var _ = traffic.AdminPort
var _ context.Context
