package consul_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/discovery/consul"
)

// A fakeAgent does what a real agent does only when it is slow or has failed. It is
// used without a network, so that tests can run in virtual time.
type fakeAgent struct {
	hold     time.Duration // how long a registration takes
	requests sync.WaitGroup

	mu      sync.Mutex // protects what follows
	calls   []string
	agent   bool // the agent has the instance
	catalog int  // how many more reads of the catalog find the instance; -1 is all
}

func (f *fakeAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what)
	switch {
	case what == "agent/service/register":
		if hold := f.hold; hold > 0 {
			f.mu.Unlock()
			time.Sleep(hold) // even if the client has given up
			f.mu.Lock()
		}
		f.calls = append(f.calls, "registered")
		f.agent = true
	case strings.HasPrefix(what, "agent/service/deregister/"):
		f.agent = false
	case strings.HasPrefix(what, "catalog/service/"):
		found := []api.CatalogService{}
		if f.catalog != 0 {
			found = append(found, api.CatalogService{Node: "here", ServiceID: "orders-1"})
			f.catalog--
		}
		_ = json.NewEncoder(w).Encode(found)
	case !f.agent:
		http.Error(w, "unknown", http.StatusNotFound)
	case strings.HasPrefix(what, "agent/service/"):
		_ = json.NewEncoder(w).Encode(api.AgentService{ID: "orders-1"})
	}
}

// RoundTrip sends r to the agent. An agent finishes a request even if the client has
// cancelled it, but does not get one that was cancelled before.
func (f *fakeAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := httptest.NewRecorder()
	answered := make(chan struct{})
	f.requests.Go(func() {
		defer close(answered)
		f.ServeHTTP(answer, r)
	})
	select {
	case <-answered:
		return answer.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (f *fakeAgent) change(by func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	by()
}

func (f *fakeAgent) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if strings.HasPrefix(c, call) {
			n++
		}
	}
	return n
}

func (f *fakeAgent) registrar(t *testing.T) *consul.Registrar {
	t.Cleanup(f.requests.Wait)
	cfg := api.DefaultConfig()
	cfg.HttpClient = &http.Client{Transport: f}
	client, err := api.NewClient(cfg)
	require.NoError(t, err)
	return &consul.Registrar{Clients: []*api.Client{client}, TTL: 15 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

var orders = &api.AgentServiceRegistration{ID: "orders-1", Name: "orders"}

func TestDeregistrationReadsTheCatalogUntilTheInstanceIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAgent{catalog: 3}
		r := f.registrar(t)
		require.NoError(t, r.Register(t.Context(), orders))

		require.NoError(t, r.Deregister(t.Context(), orders))

		require.Equal(t, 4, f.count("catalog/service/orders"))
	})
}

func TestAnInstanceThatStaysInTheCatalogIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAgent{catalog: -1}
		r := f.registrar(t)
		require.NoError(t, r.Register(t.Context(), orders))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()

		err := r.Deregister(ctx, orders)

		require.ErrorContains(t, err, "consul: deregister orders-1: read the catalog: ")
		require.Equal(t, 10, f.count("catalog/service/orders"), "at growing intervals")
		f.change(func() { f.catalog = 0 })
		require.NoError(t, r.Deregister(t.Context(), orders), "it can be tried again")
		require.Equal(t, 2, f.count("agent/service/deregister/"))
	})
}

// The registration takes as long as with an agent that is starved of CPU.
func TestDeregistrationWaitsForAReRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAgent{}
		r := f.registrar(t)
		require.NoError(t, r.Register(t.Context(), orders))
		f.change(func() { f.agent, f.hold = false, 3*time.Second }) // the agent was restarted without its data
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, f.count("agent/service/register"))
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()

		require.NoError(t, r.Deregister(ctx, orders))

		f.change(func() {
			require.False(t, f.agent, "calls: %v", f.calls)
			require.Equal(t, "registered", f.calls[len(f.calls)-3])
		})
		time.Sleep(time.Minute)
		require.Equal(t, 2, f.count("agent/service/register"), "nothing registers it later")
		f.change(func() { require.False(t, f.agent) })
	})
}

func TestAReRegistrationThatHangsDelaysDeregistrationByHalfOfItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAgent{}
		r := f.registrar(t)
		require.NoError(t, r.Register(t.Context(), orders))
		f.change(func() { f.agent, f.hold = false, time.Hour })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, f.count("agent/service/register"))
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()

		start := time.Now()
		require.NoError(t, r.Deregister(ctx, orders))

		require.Equal(t, 2500*time.Millisecond, time.Since(start), "half of 4 s, and 500 ms")
	})
}

// The select statement chooses at random among channels that are ready.
func TestADeregistrationWithoutTimeStopsTheKeepAlive(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeAgent{}
			r := f.registrar(t)
			require.NoError(t, r.Register(t.Context(), orders))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()

			require.Error(t, r.Deregister(ctx, orders))

			time.Sleep(time.Minute)
			require.Zero(t, f.count("agent/check/update/"))
		})
	}
}

func TestARegistrationMayFinishAfterTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAgent{hold: 500 * time.Millisecond}
		r := f.registrar(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()

		require.NoError(t, r.Register(ctx, orders))

		require.NoError(t, r.Deregister(t.Context(), orders))
		f.change(func() { require.False(t, f.agent) })
	})
}

func TestARegistrationIsCancelledSoonAfterTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAgent{hold: time.Hour}
		r := f.registrar(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()

		start := time.Now()
		require.Error(t, r.Register(ctx, orders))
		require.Equal(t, 600*time.Millisecond, time.Since(start))
	})
}
