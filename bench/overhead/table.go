package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// A table is printed while it grows: the measurement takes a minute.
type table struct {
	w     io.Writer
	names [2]string
	pairs [][2]result
}

func newTable(w io.Writer, names [2]string) *table {
	fmt.Fprintf(w, "PAIR  %12s  %12s  RATIO\n", names[0]+" req/s", names[1]+" req/s")
	return &table{w: w, names: names}
}

func (t *table) add(pair [2]result) {
	t.pairs = append(t.pairs, pair)
	fmt.Fprintf(t.w, "%4d  %12.0f  %12.0f  %.3f\n", len(t.pairs), pair[0].perSecond, pair[1].perSecond, pair[1].perSecond/pair[0].perSecond)
}

func (t *table) finish() {
	ratio := t.sorted(func(p [2]result) float64 { return p[1].perSecond / p[0].perSecond })
	fmt.Fprintf(t.w, "\n%s to %s, requests/s: median %.3f, min %.3f, max %.3f\n", t.names[1], t.names[0], middle(ratio), ratio[0], ratio[len(ratio)-1])
	if t.pairs[0][0].cpu > 0 && t.pairs[0][1].cpu > 0 {
		cpu := t.sorted(func(p [2]result) float64 { return float64(p[1].cpu) / float64(p[0].cpu) })
		fmt.Fprintf(t.w, "%s to %s, CPU a request: median %.3f, min %.3f, max %.3f\n", t.names[1], t.names[0], middle(cpu), cpu[0], cpu[len(cpu)-1])
	}
	fmt.Fprintf(t.w, "\n%-12s  %8s  %8s  %s\n", "MEDIAN", "P50", "P99", "CPU A REQUEST")
	for i, name := range t.names {
		median := func(of func(result) time.Duration) time.Duration {
			return time.Duration(middle(t.sorted(func(p [2]result) float64 { return float64(of(p[i])) })))
		}
		fmt.Fprintf(t.w, "%-12s  %8v  %8v  %v\n", name,
			median(func(r result) time.Duration { return r.p50 }),
			median(func(r result) time.Duration { return r.p99 }),
			median(func(r result) time.Duration { return r.cpu }).Round(10*time.Nanosecond))
	}
}

func (t *table) sorted(of func([2]result) float64) []float64 {
	var all []float64
	for _, p := range t.pairs {
		all = append(all, of(p))
	}
	slices.SortFunc(all, cmp.Compare)
	return all
}

// middle is the median of sorted numbers.
func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
