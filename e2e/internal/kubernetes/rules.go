//go:build linux

package kubernetes

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"sync"
	"time"
)

// rules is a watch of kube-proxy's rules: when they last had the address of a pod, so that
// new connections were sent to it.
type rules struct {
	mu   sync.Mutex // protects what follows
	last map[string]time.Time
	err  error
}

// rulesEvery is how exact the times are.
const rulesEvery = 50 * time.Millisecond

// watchRules watches until stop is called.
func watchRules(ctx context.Context) (r *rules, stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	r = &rules{last: make(map[string]time.Time)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			asked := time.Now()
			table, err := natRules(ctx)
			if ctx.Err() == nil {
				r.see(asked, table, err)
			}
			_ = pause(ctx, rulesEvery)
		}
	}()
	return r, func() error {
		cancel()
		<-done
		return r.err
	}
}

func natRules(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "iptables-save", "--table", "nat").Output()
	if err != nil {
		return "", fmt.Errorf("iptables-save: %w", err)
	}
	return string(out), nil
}

// sendsOn reports whether the rules send connections to the address of a Service on.
func sendsOn(table, address, port string) bool {
	rule := regexp.MustCompile(`-d ` + regexp.QuoteMeta(address) + `/32 .*--dport ` + port + ` -j KUBE-SVC-`)
	return rule.MatchString(table)
}

var destination = regexp.MustCompile(`--to-destination ([0-9.]+):`)

func (r *rules) see(at time.Time, table string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err = err
	}
	for _, match := range destination.FindAllStringSubmatch(table, -1) {
		r.last[match[1]] = at
	}
}

// had returns for how long after the time the rules had the address, at least.
func (r *rules) had(address string, after time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.last[address].Sub(after))
}
