package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const pollInterval = 50 * time.Millisecond

// A gateway polls a registry, and sends requests to the instances that it has
// found there, in turn. A request that gets no answer, a refused connection
// included, is lost: the registry has sent it there.
type gateway struct {
	list func(context.Context) ([]string, error)

	addrs    atomic.Pointer[[]string]
	next     atomic.Int64
	answered atomic.Int64

	mu   sync.Mutex // protects what follows
	lost []string   // why

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// startGateway starts polling and, as soon as there is an instance, calling.
// Half of the clients keep their connections.
func startGateway(t *testing.T, list func(context.Context) ([]string, error)) *gateway {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gateway{list: list, stop: cancel}
	g.addrs.Store(&[]string{})
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
	for {
		if found, err := g.list(ctx); err == nil {
			g.addrs.Store(&found)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *gateway) knows(addr string) bool {
	for _, a := range *g.addrs.Load() {
		if a == addr {
			return true
		}
	}
	return false
}

func (g *gateway) call(ctx context.Context, keepAlive bool) {
	transport := &http.Transport{DisableKeepAlives: !keepAlive}
	defer transport.CloseIdleConnections()
	for ctx.Err() == nil {
		addrs := *g.addrs.Load()
		if len(addrs) == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		addr := addrs[int(g.next.Add(1))%len(addrs)]
		if err := post(transport, addr); err != nil {
			g.mu.Lock()
			g.lost = append(g.lost, err.Error())
			g.mu.Unlock()
		} else {
			g.answered.Add(1)
		}
		time.Sleep(time.Millisecond) // 8 clients are load enough
	}
}

func post(transport *http.Transport, addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", strings.NewReader("an order"))
	if err != nil {
		return err
	}
	req.GetBody = nil // with it net/http sends the request again when a connection is lost
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
