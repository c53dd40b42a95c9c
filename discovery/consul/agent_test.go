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
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/discovery/consul"
)

// A fakeAgent does what a real one does only in bad moments.
type fakeAgent struct {
	hold chan struct{} // a registration waits for it, if it is not nil

	mu      sync.Mutex // protects what follows
	calls   []string
	agent   bool // it knows the instance
	catalog int  // how many more times the catalog will have it; -1 is for ever
}

func (f *fakeAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what)
	switch {
	case what == "agent/service/register":
		if hold := f.hold; hold != nil {
			f.mu.Unlock()
			<-hold // whether or not somebody still waits for the answer
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
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	cfg := api.DefaultNonPooledConfig()
	cfg.Address = server.Listener.Addr().String()
	client, err := api.NewClient(cfg)
	require.NoError(t, err)
	return &consul.Registrar{Clients: []*api.Client{client}, TTL: 150 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

var orders = &api.AgentServiceRegistration{ID: "orders-1", Name: "orders"}

func TestDeregistrationReadsTheCatalogUntilTheInstanceHasGone(t *testing.T) {
	f := &fakeAgent{catalog: 3}
	r := f.registrar(t)
	require.NoError(t, r.Register(t.Context(), orders))

	require.NoError(t, r.Deregister(t.Context(), orders))

	require.Equal(t, 4, f.count("catalog/service/orders"))
}

func TestAnInstanceThatStaysInTheCatalogIsAnError(t *testing.T) {
	f := &fakeAgent{catalog: -1}
	r := f.registrar(t)
	require.NoError(t, r.Register(t.Context(), orders))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()

	err := r.Deregister(ctx, orders)

	require.ErrorContains(t, err, "consul: deregister orders-1: read it back: ")
	f.change(func() { f.catalog = 0 })
	require.NoError(t, r.Deregister(t.Context(), orders), "and may be tried again")
	require.Equal(t, 2, f.count("agent/service/deregister/"))
}

func TestARegistrationUnderWayInTheKeepAliveIsWaitedForBeforeDeregistration(t *testing.T) {
	f := &fakeAgent{}
	r := f.registrar(t)
	require.NoError(t, r.Register(t.Context(), orders))
	hold := make(chan struct{})
	f.change(func() { f.agent, f.hold = false, hold }) // its memory is lost
	require.Eventually(t, func() bool { return f.count("agent/service/register") == 2 }, 10*time.Second, time.Millisecond)
	time.AfterFunc(100*time.Millisecond, func() { close(hold) })

	require.NoError(t, r.Deregister(t.Context(), orders))

	f.change(func() {
		require.False(t, f.agent, "in order: %v", f.calls)
		require.Equal(t, "registered", f.calls[len(f.calls)-3])
	})
	time.Sleep(200 * time.Millisecond)
	require.Equal(t, 2, f.count("agent/service/register"), "and it stays like that")
}

func TestTheEndOfTheContextLetsARegistrationFinish(t *testing.T) {
	hold := make(chan struct{})
	f := &fakeAgent{hold: hold}
	r := f.registrar(t)
	ctx, cancel := context.WithCancel(t.Context())
	registering := make(chan error, 1)
	go func() { registering <- r.Register(ctx, orders) }()
	require.Eventually(t, func() bool { return f.count("agent/service/register") == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	time.AfterFunc(100*time.Millisecond, func() { close(hold) })

	require.NoError(t, <-registering)

	require.NoError(t, r.Deregister(t.Context(), orders))
	f.change(func() { require.False(t, f.agent) })
}

func TestAnAgentThatHangsIsGivenUpSoonAfterTheEndOfTheContext(t *testing.T) {
	hold := make(chan struct{})
	f := &fakeAgent{hold: hold}
	r := f.registrar(t)
	defer close(hold)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	start := time.Now()
	require.Error(t, r.Register(ctx, orders))
	require.Less(t, time.Since(start), 5*time.Second)
}
