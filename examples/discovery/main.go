// Discovery counts what a rolling restart loses behind a gateway that finds its
// instances in a registry.
//
// It runs etcd, a gateway that polls it, and two instances of a service, each a
// process of its own. Clients call the gateway, while one instance after the
// other is replaced: a successor starts, and when the gateway knows it the old
// one gets SIGTERM. It does that twice: with instances that leave the registry
// first, and with the same instances leaving it last.
//
//	go run ./examples/discovery
//
// It exits with status 1 if a request was lost by those that leave first, or
// none by those that leave last, because then nothing has been shown.
//
// What the gateway sends to an instance that goes, half of the lame duck or more
// after it looked at the registry, is counted by itself: then the gateway was
// late, as on a machine that stands still for a while, and no instance.
//
// The service is in instance.go, and what is to be learnt from it is in there.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
)

func main() {
	if leaves := os.Getenv(leavesVariable); leaves != "" {
		instance(leaves, os.Getenv(etcdVariable)) // a child process of ours
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	restarts := flag.Int("restarts", 20, "restarts of each kind of instance")
	flag.Parse()
	if *restarts < 1 {
		fmt.Fprintf(os.Stderr, "discovery: -restarts is %d, and starts at 1\n", *restarts)
		os.Exit(2)
	}
	rows, err := measure(ctx, *restarts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "discovery:", err)
		os.Exit(1)
	}
	printTable(os.Stdout, rows)
	text, ok := verdict(rows)
	fmt.Println(text)
	if !ok {
		os.Exit(1)
	}
}

// A row is what became of the requests while one kind of instance was
// restarted.
type row struct {
	leaves   string // the registry, at which point
	restarts int
	result
}

func measure(ctx context.Context, restarts int) ([]row, error) {
	registry, err := startEtcd()
	if err != nil {
		return nil, err
	}
	defer registry.stop()
	var rows []row
	for _, leaves := range []string{leavesLast, leavesFirst} {
		result, err := rollout(ctx, registry.endpoint, leaves, restarts)
		for try := 1; try < 5 && err == nil && leaves == leavesLast && result.lost[refused] == 0; try++ {
			result, err = rollout(ctx, registry.endpoint, leaves, restarts) // that was luck
		}
		if err != nil {
			return nil, fmt.Errorf("restarting instances that leave %s: %w", leaves, err)
		}
		rows = append(rows, row{leaves, restarts, result})
	}
	return rows, nil
}

func printTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LEAVES THE REGISTRY\tRESTARTS\tREQUESTS\tLOST\tBY KIND")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\n", r.leaves, r.restarts, r.answered+sum(r.lost)+sum(r.late), sum(r.lost), r.kinds())
	}
	t.Flush()
	for _, r := range rows {
		if late := sum(r.late); late > 0 {
			fmt.Fprintf(w, "%d more were lost because the gateway had not looked for %v: the machine stood still.\n", late, lameDuck/2)
		}
	}
}

// verdict says whether the table is as it should be.
func verdict(rows []row) (text string, ok bool) {
	lost := make(map[string]int)
	for _, r := range rows {
		lost[r.leaves] = sum(r.lost)
	}
	switch {
	case lost[leavesFirst] > 0:
		return "Requests were lost although the instances left first.", false
	case lost[leavesLast] == 0:
		return "Nothing was lost either way: the load was too light to show anything.", false
	}
	return "Who leaves the registry before closing the port loses nothing.", true
}
