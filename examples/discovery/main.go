// Discovery counts the requests that a rolling restart loses behind a gateway that
// finds its instances in a registry.
//
// It runs etcd, a gateway that polls etcd, and two instances of a service, each in a
// process of its own. Clients send requests to the gateway while the instances are
// replaced: a successor starts, and when the gateway has found it the old instance
// gets SIGTERM. This is done twice: with instances that deregister first, in the
// Leave phase, and with instances that deregister last, in Close.
//
//	go run ./examples/discovery
//
// The service in instance.go shows how to use package discovery.
//
// The exit status is 1 if an instance that deregisters first loses a request, or if
// those that deregister last lose none, because then the load was too light.
//
// On a busy machine the gateway may not be scheduled for a while. Requests that it
// loses because it used a poll that was older than half of the lame duck are counted
// apart: they are not a fault of the instance.
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
	if when := os.Getenv(whenVariable); when != "" {
		instance(when, os.Getenv(etcdVariable)) // this is a child process
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	restarts := flag.Int("restarts", 20, "restarts of each kind of instance")
	flag.Parse()
	if *restarts < 1 {
		fmt.Fprintf(os.Stderr, "discovery: -restarts is %d, and must be at least 1\n", *restarts)
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

// A row has the result of restarting one kind of instance.
type row struct {
	when     string // when the instance deregisters
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
	for _, when := range []string{deregistersLast, deregistersFirst} {
		result, err := rollout(ctx, registry.endpoint, when, restarts)
		for try := 1; try < 5 && err == nil && when == deregistersLast && result.lost[refused] == 0; try++ {
			result, err = rollout(ctx, registry.endpoint, when, restarts) // nothing was lost, by luck
		}
		if err != nil {
			return nil, fmt.Errorf("restarting instances that deregister %s: %w", when, err)
		}
		rows = append(rows, row{when, restarts, result})
	}
	return rows, nil
}

func printTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEREGISTERS\tRESTARTS\tREQUESTS\tLOST\tBY KIND")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\n", r.when, r.restarts, r.answered+sum(r.lost)+sum(r.late), sum(r.lost), r.kinds())
	}
	t.Flush()
	for _, r := range rows {
		if late := sum(r.late); late > 0 {
			fmt.Fprintf(w, "%d more were lost because the gateway was not scheduled for %v: the machine is busy.\n", late, lameDuck/2)
		}
	}
}

// verdict reports whether rows are as expected.
func verdict(rows []row) (text string, ok bool) {
	lost := make(map[string]int)
	for _, r := range rows {
		lost[r.when] = sum(r.lost)
	}
	switch {
	case lost[deregistersFirst] > 0:
		return "Requests were lost although the instances deregistered first.", false
	case lost[deregistersLast] == 0:
		return "No request was lost in either case: the load was too light.", false
	}
	return "Instances that deregister before they close the port lose no requests.", true
}
