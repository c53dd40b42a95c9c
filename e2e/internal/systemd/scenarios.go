//go:build linux

package systemd

import (
	"context"

	"github.com/gracefulgo/shutdown/e2e/internal/parts"
)

// A scenario is a row of the table.
type scenario struct {
	name     string
	service  string
	program  string // SystemdService has a socket unit
	args     string
	shows    []string // requirements
	settings []string // of the unit's [Service]
	rounds   int
	short    bool // part of the short run

	// round starts the service and stops it once.
	round func(context.Context, *round) error

	result string // of the unit, for systemd; "" means any
	exit   string // "" means any
	says   string // in the log of the last run, or of the next one if that was killed
}

const (
	library = "library"
	naive   = "naive"

	often = 10
	few   = 3
)

var scenarios = []scenario{
	{
		name: "systemctl stop", service: library, program: parts.Library, shows: []string{"R3", "R7"},
		rounds: often, short: true, round: stopUnderLoad,
		result: "success", exit: "0", says: "finished",
	},
	{
		name: "systemctl stop", service: naive, program: parts.Naive,
		rounds: often, short: true, round: stopUnderLoad,
	},
	{
		name: "a request hangs, TimeoutStopSec=10, SHUTDOWN_GRACE_PERIOD=10", service: library, program: parts.Library, shows: []string{"R10", "R25"},
		settings: []string{"TimeoutStopSec=10", "Environment=SHUTDOWN_GRACE_PERIOD=10"},
		rounds:   few, round: stopWithHungRequest,
		result: "exit-code", exit: "1", says: "timed out",
	},
	{
		name: "a request hangs, TimeoutStopSec=10", service: naive, program: parts.Naive,
		settings: []string{"TimeoutStopSec=10"},
		rounds:   few, round: stopWithHungRequest,
	},
	{
		name: "a request hangs, TimeoutStopSec=3, not told", service: library, program: parts.Library, shows: []string{"R6"},
		settings: []string{"TimeoutStopSec=3"},
		rounds:   few, round: stopWithHungRequest,
		result: "timeout", exit: killed, says: "the last run was killed",
	},
	{
		name: "socket unit, systemctl restart", service: library, program: parts.SystemdService, shows: []string{"R7"},
		settings: []string{"Type=notify"},
		rounds:   often, round: restartUnderLoad,
		says: "finished",
	},
	{
		name: "socket unit, systemctl restart", service: naive, program: parts.SystemdService, args: "-naive",
		rounds: often, round: restartUnderLoad,
	},
	{
		name: "a hook takes 6 s, TimeoutStopSec=3, package systemd asks for more time", service: library, program: parts.SystemdService, args: "-upload 6s",
		settings: []string{"Type=notify", "TimeoutStopSec=3"},
		rounds:   few, round: stopWithoutLoad,
		result: "success", exit: "0", says: "finished",
	},
	{
		name: "a hook takes 6 s, TimeoutStopSec=3", service: naive, program: parts.SystemdService, args: "-naive -upload 6s",
		settings: []string{"TimeoutStopSec=3"},
		rounds:   few, round: stopWithoutLoad,
	},
	{
		name: "a hook takes 20 s, TimeoutStopSec=5, the grace period is asked for", service: library, program: parts.SystemdService, args: "-ask -upload 20s", shows: []string{"R10", "R25"},
		settings: []string{"Type=notify", "TimeoutStopSec=5"},
		rounds:   few, round: stopWithoutLoad,
		result: "exit-code", exit: "1", says: "finished with errors",
	},
}
