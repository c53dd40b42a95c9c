package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSameSeedGivesTheSamePlan(t *testing.T) {
	for seed := range uint64(200) {
		first, second := NewPlan(seed), NewPlan(seed)
		require.Equal(t, first, second)
	}
	require.NotEqual(t, NewPlan(1).Hooks, NewPlan(2).Hooks)
}

// The sum changes with each change to how plans are drawn. Old seeds then have other
// plans.
func TestPlansAreTheSameOnEveryMachine(t *testing.T) {
	sum := sha256.New()
	for seed := range uint64(100) {
		text, err := json.Marshal(NewPlan(seed))
		require.NoError(t, err)
		sum.Write(text)
	}
	require.Equal(t, "d05b0ce318d18a79fefe3db188944724e51767ac3f3f6a127cf7c2817b8b476f", hex.EncodeToString(sum.Sum(nil)))
}

func TestAPlanIsTheSameAfterJSON(t *testing.T) {
	for seed := range uint64(200) {
		text, err := json.Marshal(NewPlan(seed))
		require.NoError(t, err)
		var p Plan
		require.NoError(t, json.Unmarshal(text, &p))
		require.Equal(t, NewPlan(seed), p)
	}
}

func TestEveryFaultIsInThePlanOfSomeSeed(t *testing.T) {
	const seeds = 1000
	bestEfforts, reachedPhases, starts, runs, returns := map[string]int{}, map[string]int{}, map[string]int{}, map[bool]int{}, map[string]int{}
	faults, hooks, work, clients := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	moments, loads, tables, disks, names := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for seed := range uint64(seeds) {
		p := NewPlan(seed)
		for _, f := range p.Faults {
			faults[f]++
		}
		for _, h := range p.Hooks {
			hooks[h.Does]++
			if h.Limit > 0 {
				bestEfforts[h.Does]++
			}
		}
		for _, r := range p.Reached {
			reachedPhases[r.Phase]++
		}
		starts[p.Start]++
		runs[p.Run]++
		for _, w := range p.Work {
			work[w.Kind+" "+w.Does]++
			if w.Kind == worker || w.Kind == job {
				returns[w.Kind+" "+w.Returns]++
			}
		}
		for c := range p.Clients {
			clients[c]++
		}
		for _, s := range slices.Concat([]Signal{p.First}, p.Later) {
			moments[s.Event]++
			for _, n := range s.Names {
				names[n]++
			}
		}
		loads[p.Load.Mode]++
		tables[p.Table]++
		disks[p.Disk+" "+p.DiskBreaks]++
	}
	for _, k := range faultKinds {
		require.NotZero(t, faults[k.name], "no seed has the fault %q", k.name)
	}
	for _, does := range []string{hookSucceeds, hookFails, hookPanics, hookGoexits, hookHangs, hookIgnores, hookRegisters, hookCalls, hookWaits, hookForces, hookJobs, hookAdmits} {
		require.NotZero(t, hooks[does], "no hook %s", does)
	}
	for _, kind := range []string{request, task, worker} {
		for _, does := range []string{workEnds, workStops, workGivesUp, workLate, workHangs} {
			require.NotZero(t, work[kind+" "+does], "no %s %s", kind, does)
		}
	}
	require.NotZero(t, work[worker+" "+workFails])
	for _, does := range []string{workEnds, workStops, workGivesUp, workLate, workHangs, workBreaks} {
		require.NotZero(t, work[job+" "+does], "no job %s", does)
	}
	for _, how := range []string{returnsNil, returnsErr, returnsCause, returnsWrapped, returnsJoined, returnsFlush} {
		require.NotZero(t, returns[worker+" "+how], "no worker returns %s", how)
		require.NotZero(t, returns[job+" "+how], "no job returns %s", how)
	}
	for _, does := range []string{hookSucceeds, hookFails, hookHangs, hookIgnores, hookPanics, hookGoexits} {
		require.NotZero(t, bestEfforts[does], "no best effort %s", does)
	}
	require.NotZero(t, work[worker+" "+workBreaks])
	require.Len(t, reachedPhases, 4)
	require.Len(t, starts, 6)
	require.Len(t, runs, 2)
	require.Len(t, clients, 10)
	require.Len(t, moments, 5)
	require.Len(t, names, 3)
	require.Len(t, loads, 3)
	require.Len(t, tables, 3)
	require.Len(t, disks, 1+4*2)
}
