package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const pollInterval = 50 * time.Millisecond

// A gateway polls a registry and sends requests to the instances that it finds, in
// turn. A request without an answer counts as lost, also if the connection was
// refused.
type gateway struct {
	list func(context.Context) ([]string, error)

	answered atomic.Int64

	mu     sync.Mutex // protects what follows
	addrs  []string   // found by the last poll
	next   int
	unsent map[string]int // requests that have chosen an address and are not sent yet
	lost   []string       // the errors
	gap    time.Duration  // the longest time between the ends of two polls

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// startGateway starts polling, and sending requests as soon as there is an instance.
// Half of the clients use keep-alive connections.
func startGateway(t *testing.T, list func(context.Context) ([]string, error)) *gateway {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gateway{list: list, stop: cancel, unsent: make(map[string]int)}
	g.wg.Go(func() { g.poll(ctx) })
	for n := range 8 {
		g.wg.Go(func() { g.call(ctx, n%2 == 0) })
	}
	t.Cleanup(g.end)
	return g
}

func (g *gateway) end() {
	g.stop()
	g.wg.Wait()
}

func (g *gateway) poll(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for last := time.Now(); ; {
		found, err := g.list(ctx)
		now := time.Now()
		g.mu.Lock()
		if err == nil {
			g.addrs = found
		}
		g.gap = max(g.gap, now.Sub(last))
		g.mu.Unlock()
		last = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *gateway) knows(addr string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.addrs, addr)
}

// pollsInTime starts to watch the polls. The result reports whether none was late
// since then.
func (g *gateway) pollsInTime() func() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gap = 0
	return func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.gap <= 2*pollInterval
	}
}

// hasDropped reports whether the gateway will send no more requests to addr: a poll did
// not find it, and all requests that had chosen it are sent.
func (g *gateway) hasDropped(addr string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !slices.Contains(g.addrs, addr) && g.unsent[addr] == 0
}

// pick chooses an address, if there is one. The caller calls sent when the request
// has been written or has failed.
func (g *gateway) pick() (addr string, sent func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.addrs) == 0 {
		return "", nil, false
	}
	g.next++
	addr = g.addrs[g.next%len(g.addrs)]
	g.unsent[addr]++
	return addr, sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.unsent[addr]--
	}), true
}

func (g *gateway) call(ctx context.Context, keepAlive bool) {
	transport := &http.Transport{DisableKeepAlives: !keepAlive}
	defer transport.CloseIdleConnections()
	for ctx.Err() == nil {
		addr, sent, ok := g.pick()
		if !ok {
			time.Sleep(time.Millisecond)
			continue
		}
		if err := post(transport, addr, sent); err != nil {
			g.mu.Lock()
			g.lost = append(g.lost, err.Error())
			g.mu.Unlock()
		} else {
			g.answered.Add(1)
		}
		time.Sleep(time.Millisecond)
	}
}

func post(transport *http.Transport, addr string, sent func()) error {
	defer sent()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", strings.NewReader("an order"))
	if err != nil {
		return err
	}
	req.GetBody = nil // otherwise net/http retries the request when a connection is lost
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", resp.StatusCode)
	case string(body) != "thank you":
		return errors.New("wrong answer")
	}
	return nil
}

func (g *gateway) losses() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.lost...)
}
