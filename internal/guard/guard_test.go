package guard

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	rounds   = flag.Int("rounds", 0, "shutdowns of each cell; 0 means one of each quick cell")
	controls = flag.Int("controls", -1, "shutdowns of each cell without the library; -1 means as many as with it, at most 20")
	only     = flag.String("cells", "", "run only the cells whose `name` matches this regular expression")
	beside   = flag.Int("beside", 8, "rounds side by side; they mostly wait")
)

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		var s service
		if err := json.Unmarshal([]byte(config), &s); err != nil {
			log.Fatal(err)
		}
		s.serve()
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

func TestEveryCellKeepsItsPromise(t *testing.T) {
	rows := choose(t)
	measure(t, rows)
	t.Logf("\n%s", text(rows))
	verdict(t, rows)
}

// choose returns the rows that the flags ask for: of each cell one with the
// library and one without.
func choose(t *testing.T) (rows []*row) {
	pattern, err := regexp.Compile(*only)
	require.NoError(t, err, "-cells")
	for _, c := range cells() {
		if pattern.MatchString(c.name) && (c.quick || *rounds > 0 || *only != "") {
			rows = append(rows, newRow(c, true), newRow(c, false))
		}
	}
	require.NotEmpty(t, rows, "-cells %s: no such cell", *only)
	return rows
}

// measure takes the rows in turn, so that whatever else the machine does meets
// all of them alike.
func measure(t *testing.T, rows []*row) {
	n := max(1, *rounds)
	control := *controls
	if control < 0 {
		control = min(n, 20)
	}
	work := make(chan *row)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for range *beside {
		workers.Go(func() {
			for r := range work {
				o, err := r.cell.run(ctx, r.library)
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("%s, library %v: %v", r.cell.name, r.library, err)
					}
					stop() // nothing was counted: the table would be wrong
					continue
				}
				r.add(o)
			}
		})
	}
	began, said := time.Now(), time.Now()
	for i := range n {
		for _, r := range rows {
			if ctx.Err() != nil || !r.library && i >= control {
				continue
			}
			if time.Since(said) > 10*time.Second {
				said = time.Now()
				fmt.Fprintf(os.Stderr, "round %d of %d after %v: %s\n", i+1, n, time.Since(began).Round(time.Second), r.cell.name)
			}
			work <- r
		}
	}
	close(work)
	workers.Wait()
}

// verdict fails the test if the library fell short of a promise, or the controls
// lost nothing.
func verdict(t *testing.T, rows []*row) {
	controlRounds, controlLost := 0, 0
	for _, r := range rows {
		if !r.library {
			controlRounds += r.rounds
			controlLost += r.sum.Losses()
			continue
		}
		short := r.shortfalls()
		switch {
		case len(short) > 0 && r.cell.issue != "":
			t.Logf("%s: expected to fail (%q): %v", r.cell.name, r.cell.issue, short)
		case len(short) > 0:
			t.Errorf("%s promises %v, but %v\n%s", r.cell.name, r.cell.promise, short, r.broken)
		case r.cell.issue != "":
			t.Logf("%s holds: it need no longer be expected to fail (%q)", r.cell.name, r.cell.issue)
		}
	}
	if controlRounds > 0 && controlLost == 0 {
		t.Errorf("without the library nothing was lost in %d shutdowns, so this load shows nothing", controlRounds)
	}
}
