package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// A table is printed line by line, because the measurement takes a minute.
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
	fmt.Fprintf(t.w, "\n%s to %s, requests/s: %s\n", t.names[1], t.names[0], summary(ratio))
	if t.pairs[0][0].cpu > 0 && t.pairs[0][1].cpu > 0 {
		cpu := t.sorted(func(p [2]result) float64 { return float64(p[1].cpu) / float64(p[0].cpu) })
		fmt.Fprintf(t.w, "%s to %s, CPU a request: %s\n", t.names[1], t.names[0], summary(cpu))
	}
	fmt.Fprintf(t.w, "\n%-12s  %8s  %8s  %s\n", "MEDIAN", "P50", "P99", "CPU A REQUEST")
	for i, name := range t.names {
		medianOf := func(of func(result) time.Duration) time.Duration {
			return time.Duration(median(t.sorted(func(p [2]result) float64 { return float64(of(p[i])) })))
		}
		fmt.Fprintf(t.w, "%-12s  %8v  %8v  %v\n", name,
			medianOf(func(r result) time.Duration { return r.p50 }),
			medianOf(func(r result) time.Duration { return r.p99 }),
			medianOf(func(r result) time.Duration { return r.cpu }).Round(10*time.Nanosecond))
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

// summary describes sorted ratios.
func summary(ratio []float64) string {
	mean, low, high := geometricMean(ratio)
	return fmt.Sprintf("mean %.3f (95 %%: %.3f to %.3f), median %.3f, min %.3f, max %.3f",
		mean, low, high, median(ratio), ratio[0], ratio[len(ratio)-1])
}

// geometricMean returns the geometric mean of ratios with its 95 % confidence
// interval.
func geometricMean(ratios []float64) (mean, low, high float64) {
	n := float64(len(ratios))
	var sum, squares float64
	for _, r := range ratios {
		sum += math.Log(r)
	}
	for _, r := range ratios {
		squares += math.Pow(math.Log(r)-sum/n, 2)
	}
	within := math.Inf(1)
	if n > 1 {
		df := n - 1
		t := 1.96 + 2.37/df + 3.6/(df*df) // close to Student's t from 4 degrees of freedom on
		within = t * math.Sqrt(squares/df/n)
	}
	return math.Exp(sum / n), math.Exp(sum/n - within), math.Exp(sum/n + within)
}

// median returns the median of sorted numbers.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
