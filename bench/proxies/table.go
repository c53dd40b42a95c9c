//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// A row is the result of one setup.
type row struct {
	setup
	load.Result
}

func (r row) String() string {
	text := fmt.Sprintf("%v: %d of %d failed, %d took over 0.5s, slowest %v",
		r.setup, r.Losses(), r.Requests, r.Delayed, milliseconds(r.Slowest))
	if kinds := r.Kinds(); kinds != "" {
		text += "; " + kinds
	}
	return text
}

func printTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROXY\tSETTING\tSERVICE\tLAME DUCK\tREQUESTS\tFAILED\tBY KIND\tOVER 0.5 S\tSLOWEST")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%v\t%d\t%d\t%s\t%d\t%v\n", r.proxy.name, r.what(), r.service, r.lameDuck,
			r.Requests, r.Losses(), r.Kinds(), r.Delayed, milliseconds(r.Slowest))
	}
	t.Flush()
}

// A Record is a row in JSON.
type Record struct {
	Proxy, Setting, Service string
	LameDuck                time.Duration
	Recommended             bool // no request may fail, or take over half a second
	Result                  load.Result
}

func printJSON(w io.Writer, rows []row) error {
	records := make([]Record, 0, len(rows))
	for _, r := range rows {
		records = append(records, Record{r.proxy.name, r.what(), r.service, r.lameDuck, r.recommended, r.Result})
	}
	return json.NewEncoder(w).Encode(records)
}

func milliseconds(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// verdict returns the rows in which a recommended setup failed or delayed requests, and
// whether there are none.
func verdict(rows []row) (text string, ok bool) {
	var bad []string
	for _, r := range rows {
		if r.recommended && (r.Losses() > 0 || r.Delayed > 0) {
			bad = append(bad, r.String())
		}
	}
	return strings.Join(bad, "\n"), len(bad) == 0
}
