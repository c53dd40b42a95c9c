//go:build linux

package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/traffic"
)

// rollout replaces all pods.
func rollout(ctx context.Context, r *round) ([]string, error) {
	if _, err := r.kubectl(ctx, "rollout", "restart", "deployment/orders"); err != nil {
		return nil, err
	}
	_, err := r.kubectl(ctx, "rollout", "status", "deployment/orders")
	return r.before, err
}

// deletePod deletes one pod.
func deletePod(ctx context.Context, r *round) ([]string, error) {
	name := r.before[0]
	_, err := r.kubectl(ctx, "delete", "pod", name, "--wait=false")
	return []string{name}, err
}

// deleteHung deletes a pod with a request whose handler does not return.
func deleteHung(ctx context.Context, r *round) ([]string, error) {
	ended, err := traffic.Hang(ctx, r.ip(r.before[0]))
	if err != nil {
		return nil, err
	}
	going, err := deletePod(ctx, r)
	if err == nil {
		err = r.pods.awaitGone(ctx, going)
	}
	if err != nil {
		return nil, err
	}
	select {
	case answer := <-ended:
		if answer != "" {
			return nil, fmt.Errorf("the request that hangs was answered: %s", answer)
		}
	case <-ctx.Done(): // the pod is gone without a word to its client
		return nil, fmt.Errorf("waiting for the end of the request that hangs: %w", context.Cause(ctx))
	}
	return going, nil
}

// scaleDown leaves one pod.
func scaleDown(ctx context.Context, r *round) (going []string, err error) {
	if _, err := r.kubectl(ctx, "scale", "deployment/orders", "--replicas", "1"); err != nil {
		return nil, err
	}
	r.replicas = 1
	err = r.pods.await(ctx, "two pods to leave", func() bool {
		going = slices.DeleteFunc(slices.Clone(r.before), func(name string) bool { return r.pods.seen[name].leaving.IsZero() })
		return len(going) == 2
	})
	return going, err
}

// awaitRestarts waits until the kubelet has restarted the container of each pod.
func awaitRestarts(ctx context.Context, r *round) ([]string, error) {
	return nil, r.awaitRestartsOf(ctx, r.before)
}

func (r *round) awaitRestartsOf(ctx context.Context, names []string) error {
	return r.pods.await(ctx, "containers to be restarted", func() bool {
		return !slices.ContainsFunc(names, func(name string) bool {
			s := r.pods.seen[name]
			return s.pod.restarts() == 0 || !s.pod.ready()
		})
	})
}

// hangAndAwaitRestarts has a request in each pod whose handler does not return.
func hangAndAwaitRestarts(ctx context.Context, r *round) ([]string, error) {
	for _, name := range r.before {
		if _, err := traffic.Hang(ctx, r.ip(name)); err != nil {
			return nil, err
		}
	}
	if err := r.awaitRestartsOf(ctx, r.before); err != nil {
		return nil, err
	}
	return nil, r.nextRun(ctx, r.before[0])
}

// fill sends orders to a pod until it has no more memory.
func fill(ctx context.Context, r *round) ([]string, error) {
	name := r.before[0]
	body := fmt.Appendf(nil, `{"item":"%s","quantity":1}`, bytes.Repeat([]byte("x"), 1<<20-100))
	url := "http://" + net.JoinHostPort(r.ip(name), traffic.HTTPPort) + "/orders"
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	restarted := func() bool { s := r.pods.of(name); return s.pod.restarts() > 0 }
	for !restarted() && ctx.Err() == nil {
		resp, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			last = err
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				break
			}
			continue
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusCreated {
			return nil, errors.Join(fmt.Errorf("a big order: %s", resp.Status), err)
		}
	}
	if err := r.awaitRestartsOf(ctx, []string{name}); err != nil {
		return nil, errors.Join(err, last)
	}
	return nil, r.nextRun(ctx, name)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// nextRun looks for what the restarted container says about the run before.
func (r *round) nextRun(ctx context.Context, name string) error {
	log, err := r.kubectl(ctx, "logs", name, "--container", "orders")
	if err != nil {
		return err
	}
	r.says = ""
	for line := range strings.Lines(log) {
		if _, rest, ok := strings.Cut(line, `"msg":"shutdown: the last run was killed`); ok {
			text, _, _ := strings.Cut(rest, `","`)
			r.says = "the last run was killed" + text
		}
	}
	return nil
}

func (r *round) ip(name string) string {
	s := r.pods.of(name)
	return s.pod.Status.PodIP
}
