//go:build linux

package faults

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// controlRuns is how many lives of the control are enough to lose a request:
// plain net/http loses about nine of 32 clients' in each.
const controlRuns = 5

// The same service without the library, written as it usually is: what the
// invariants find there shows that they can find something.
func TestAServiceWithoutTheLibraryViolatesTheInvariants(t *testing.T) {
	p := Plan{
		Seed: 1, Timeout: 1000, LameDuck: -1, Table: tableGraceful, StartUp: 0,
		First: Signal{Moment{whileRunning, 50}, []string{"TERM"}, 1, 0},
		Load:  Load{Mode: "new connections", Clients: 32, Takes: 1},
		Hooks: []Hook{{Name: "fails", Does: hookFails}, {Name: "closes", Does: hookSucceeds}},
		Work:  []Work{{request, workHangs, 0}},
	}
	clock := startStallClock()
	defer clock.stop()
	found := make(map[string]bool)
	for range controlRuns {
		o, err := Run(p, t.TempDir(), clock, true)
		require.NoError(t, err)
		require.Empty(t, o.Killed)
		for _, v := range Check(o) {
			found[v.Invariant] = true
		}
		if o.Load.Losses() > 0 {
			break
		}
	}
	require.True(t, found["answered"], "requests are lost, and what hangs is not named")
	require.True(t, found["hooks"], "a hook that fails keeps the next from running")
	require.True(t, found["agreement"], "it exits with 0 all the same")
}

// A disk that is broken is one: the faults are what they are called.
func TestABrokenDiskIsBroken(t *testing.T) {
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
				t.Skip(at[0].Error)
			}
			require.Contains(t, o.LogText, want)
			require.Empty(t, Check(o))
		})
	}
}

// A client of each kind does what it is called: the service's journal or its
// connections show it.
func TestFaultyClientsReachTheService(t *testing.T) {
	clock := startStallClock()
	defer clock.stop()
	for kind, want := range map[string]string{
		stalledReader: "GET /big", halfClosed: "GET /slow", stoppedUpload: "POST /upload", streamLimit: "GET /slow",
		hijackedTold: "GET /hijack/told", hijackedHeld: "GET /hijack/held", callsItself: "GET /self",
	} {
		t.Run(kind, func(t *testing.T) {
			o, err := Run(Plan{
				Timeout: 1000, LameDuck: -1, Table: tableDefault, First: Signal{Moment{whileRunning, 200}, []string{"TERM"}, 1, 0},
				Load: Load{"new connections", 1, 1}, Clients: map[string]int{kind: 1},
			}, t.TempDir(), clock, false)
			require.NoError(t, err)
			_, ok := o.first(workStarted, want)
			require.True(t, ok, "%s", o.journalText())
			if kind == stalledReader || kind == hijackedHeld || kind == stoppedUpload {
				ended, _ := o.first(workEnded, want)
				require.True(t, ended.Cut || o.unfinished()[want] == 1, "it holds the drain: %s", Describe(o, nil))
			}
		})
	}
}
