//go:build linux

package faults

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// controlRuns is how many runs of the control are enough to see a violation that
// depends on timing: net/http alone loses requests of about nine of 32 clients in
// each.
const controlRuns = 5

// The negative control: the invariants have to find violations in the same service
// written as usual, without the library.
func TestAServiceWithoutTheLibraryViolatesTheInvariants(t *testing.T) {
	clock := startStallClock()
	defer clock.stop()
	for _, test := range []struct {
		name string
		plan func(p *Plan)
		want map[string]string // part of a violation's text, by invariant
		lost bool              // requests of the load have to be lost
	}{
		{"requests that are in flight", func(*Plan) {}, map[string]string{"answered": "of the load were lost"}, true},
		{"a request that hangs", func(p *Plan) { p.Work = []Work{{Kind: request, Does: workHangs}} }, map[string]string{
			"answered": "is not named", "agreement": "has not ended, and the Report does not name it", "leaks": "goroutines",
		}, false},
		{"a request that is cut off", func(p *Plan) {
			p.Work = []Work{{Kind: request, Does: workGivesUp}}
			p.Hooks = []Hook{{Name: "closes", Does: hookSucceeds, Takes: 200}}
		}, map[string]string{"truth": "POST /work/0 was cut off"}, false},
		{"a hook that fails", func(p *Plan) {
			p.Hooks = []Hook{{Name: "fails", Does: hookFails}, {Name: "closes", Does: hookSucceeds}}
		}, map[string]string{"hooks": "closes ran 0 times", "agreement": "fails ended, and is in the Report 0 times"}, false},
		{"a hook that ignores the deadline", func(p *Plan) {
			p.Hooks = []Hook{{Name: "hangs", Does: hookSucceeds, Takes: 8000}}
		}, map[string]string{"deadline": "after the deadline"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := Plan{
				Seed: 1, Timeout: 1000, LameDuck: -1, Table: tableGraceful,
				First: Signal{Moment{whileRunning, 50}, []string{"TERM"}, 1, 0},
				Load:  Load{Mode: "new connections", Clients: 32, Takes: 1},
			}
			test.plan(&p)
			var found []Violation
			lost := 0
			missing := func() map[string]string {
				left := maps.Clone(test.want)
				for _, v := range found {
					if want, ok := left[v.Invariant]; ok && strings.Contains(v.What, want) {
						delete(left, v.Invariant)
					}
				}
				return left
			}
			for range controlRuns {
				o, err := Run(p, t.TempDir(), clock, true)
				require.NoError(t, err)
				require.Empty(t, o.Killed)
				found = append(found, Check(o)...)
				lost += o.Load.Losses()
				if len(missing()) == 0 {
					break
				}
			}
			require.Empty(t, missing(), "these were not found in %d runs: %+v", controlRuns, found)
			if test.lost {
				require.Positive(t, lost)
			}
		})
	}
}

func TestTheDiskFaultsBreakTheDisk(t *testing.T) {
	clock := startStallClock()
	defer clock.stop()
	for fault, want := range map[string]string{
		diskFull:      "no space left on device",
		diskReadOnly:  "read-only file system",
		diskHangs:     "the end could not be written in time",
		diskHangsLock: "the end could not be written in time",
	} {
		t.Run(fault, func(t *testing.T) {
			o, err := Run(Plan{
				Timeout: 1000, LameDuck: -1, Table: tableDefault, First: Signal{Moment{whileRunning, 300}, []string{"TERM"}, 1, 0},
				Load: Load{"new connections", 1, 1}, Record: true, Disk: fault, DiskBreaks: inStartUp,
			}, t.TempDir(), clock, false)
			require.NoError(t, err)
			if at := o.all(unavailable); len(at) > 0 {
				require.Empty(t, os.Getenv("CI"), "CI is set, so the fault has to be available: %s", at[0].Error)
				t.Skip(at[0].Error)
			}
			require.Contains(t, o.LogText, want)
			require.Empty(t, Check(o))
		})
	}
}

func TestFaultyClientsReachTheService(t *testing.T) {
	clock := startStallClock()
	defer clock.stop()
	for kind, want := range map[string]string{
		stalledReader: "GET /big", halfClosed: "GET /slow", stoppedUpload: "POST /upload", streamLimit: "GET /slow",
		hijackedClosed: "GET /hijack/closed", hijackedHeld: "GET /hijack/held", callsItself: "GET /self",
	} {
		t.Run(kind, func(t *testing.T) {
			o := runWithClient(t, kind, clock)
			_, ok := o.first(workStarted, want)
			require.True(t, ok, "%s", o.journalText())
			if kind == stalledReader || kind == hijackedHeld || kind == stoppedUpload {
				ended, _ := o.first(workEnded, want)
				require.True(t, ended.Cut || o.cutOff()[want] == 1, "the client does not hold the drain: %s", Describe(o, nil))
			}
		})
	}
}

// These clients do not reach a handler that writes to the journal, so each needs
// another sign.
func TestFaultyClientsWithoutARequestReachTheService(t *testing.T) {
	clock := startStallClock()
	defer clock.stop()
	for kind, reached := range map[string]func(o Outcome) bool{
		tlsHandshake: func(o Outcome) bool {
			_, ok := o.first(requestArrived, "ClientHello")
			return ok
		},
		rapidReset: func(o Outcome) bool {
			_, ok := o.first(requestArrived, "GET /reset")
			return ok
		},
		// The drain is shorter than the second that package httpserver waits for a
		// header, so the connection is cut off.
		slowHeader: Outcome.drainCutShort,
	} {
		t.Run(kind, func(t *testing.T) {
			o := runWithClient(t, kind, clock)
			require.True(t, reached(o), "%s\n%s", Describe(o, nil), o.journalText())
		})
	}
}

// runWithClient runs a service with one faulty client of that kind.
func runWithClient(t *testing.T, kind string, clock *stallClock) Outcome {
	t.Helper()
	o, err := Run(Plan{
		Timeout: 1000, LameDuck: -1, Table: tableDefault, First: Signal{Moment{whileRunning, 200}, []string{"TERM"}, 1, 0},
		Load: Load{"new connections", 1, 1}, Clients: map[string]int{kind: 1},
	}, t.TempDir(), clock, false)
	require.NoError(t, err)
	return o
}
