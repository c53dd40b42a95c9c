package guard

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

var (
	rounds   = flag.Int("rounds", 1, "shutdowns of each cell")
	controls = flag.Int("controls", -1, "shutdowns of each cell without the library; -1 means as many as with it, at most 20")
	only     = flag.String("cells", "", "run the cells whose `name` matches this regular expression, \".\" for all; empty means the quick ones")
	beside   = flag.Int("beside", 6, "rounds that run at the same time; they mostly wait")
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
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

func TestEveryCellKeepsItsPromise(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("zero loss is promised on Linux only, which can stop new handshakes")
	}
	rows := choose(t)
	measure(t, rows)
	t.Logf("\n%s", text(rows))
	failures, notes := judge(rows)
	for _, n := range notes {
		t.Log(n)
	}
	for _, f := range failures {
		t.Error(f)
	}
}

// choose returns the rows that the flags select: for each cell one with the library
// and one without.
func choose(t *testing.T) (rows []*row) {
	pattern, err := regexp.Compile(*only)
	require.NoError(t, err, "-cells")
	require.Positive(t, *rounds, "-rounds")
	require.Positive(t, *beside, "-beside")
	for _, c := range cells() {
		if pattern.MatchString(c.name) && (c.quick || *only != "") {
			rows = append(rows, newRow(c, true), newRow(c, false))
		}
	}
	require.NotEmpty(t, rows, "-cells %s: no such cell", *only)
	return rows
}

// measure takes the rows in turn, so that other work of the machine affects all of
// them alike. After an interrupt the table is printed, and the test fails.
func measure(t *testing.T, rows []*row) {
	interrupted, release := signal.NotifyContext(context.Background(), os.Interrupt)
	defer release()
	n := *rounds
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
				if err := r.measure(ctx, n); err != nil {
					if ctx.Err() == nil {
						t.Errorf("%s, library %v: %v", r.cell.name, r.library, err)
					}
					stop() // without this round the table would be wrong
				}
			}
		})
	}
	began, said := time.Now(), time.Now()
	for i := range n {
		for _, r := range rows {
			if ctx.Err() != nil || interrupted.Err() != nil || !r.library && i >= control {
				continue
			}
			if time.Since(said) > 10*time.Second {
				said = time.Now()
				fmt.Fprintf(os.Stderr, "round %d of %d after %v: %d cells have broken their promise\n", i+1, n, time.Since(began).Round(time.Second), broken(rows))
			}
			work <- r
		}
	}
	close(work)
	workers.Wait()
	if interrupted.Err() != nil {
		t.Errorf("interrupted: not all of the %d rounds have run", n)
	}
}

// broken counts the cells that have broken their promise.
func broken(rows []*row) (n int) {
	for _, r := range rows {
		if r.library && len(r.shortfalls()) > 0 {
			n++
		}
	}
	return n
}

// measure runs one round of n. A round that could not be done is tried once more.
func (r *row) measure(ctx context.Context, n int) error {
	o, err := r.cell.run(ctx, r.library)
	if err != nil && ctx.Err() == nil {
		o, err = r.cell.run(ctx, r.library)
	}
	if err != nil {
		return err
	}
	r.add(o, n)
	return nil
}

// judge returns which promises were broken, and notes. A control that lost nothing at
// all is a failure too.
func judge(rows []*row) (failures, notes []string) {
	controlRounds, controlLost := 0, 0
	var lossless []string // cells whose control lost nothing
	for _, r := range rows {
		if !r.library {
			controlRounds += r.rounds
			controlLost += r.sum.Losses()
			if r.rounds > 0 && r.sum.Losses() == 0 {
				lossless = append(lossless, r.cell.name)
			}
			continue
		}
		short := r.shortfalls()
		for _, p := range slices.Sorted(maps.Keys(short)) {
			failures = append(failures, fmt.Sprintf("%s promises %v, but: %s\n%s", r.cell.name, r.cell.promise, short[p], r.broken))
		}
	}
	if len(lossless) > 0 {
		notes = append(notes, "without the library these lost nothing either, so they show nothing in this run: "+strings.Join(lossless, "; "))
	}
	if controlRounds > 0 && controlLost == 0 {
		failures = append(failures, fmt.Sprintf("without the library nothing was lost in %d shutdowns: this load shows nothing", controlRounds))
	}
	return failures, notes
}
