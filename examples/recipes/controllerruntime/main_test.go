package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without is the main that kubebuilder writes, with the field of its comment not set.
func without() {
	log.SetLogger(zap.New())
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Metrics:        metrics,
		LeaderElection: true, LeaderElectionID: "orders", LeaderElectionNamespace: "default",
	})
	if err != nil {
		panic(err)
	}
	err = ctrl.NewControllerManagedBy(mgr).Named("orders").WatchesRawSource(orders).
		Complete(reconcile.Func(func(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
			return reconcile.Result{}, reconcileOrder(ctx, r.Name)
		}))
	if err != nil {
		panic(err)
	}
	if err := mgr.Start(ctrl.SetupSignalHandler()); err != nil {
		fmt.Println("manager:", err)
		os.Exit(1)
	}
}

// An api is the part of the API of Kubernetes that a lease needs.
type api struct {
	mu    sync.Mutex
	lease *coordinationv1.Lease // nil if it has not been created
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	status := func(code int, reason string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": %q, "code": %d, "reason": %q}`, reason, code, reason)
	}
	if !strings.Contains(r.URL.Path, "/namespaces/default/leases") {
		status(http.StatusNotFound, "NotFound") // events
		return
	}
	switch r.Method {
	case http.MethodGet:
		if a.lease == nil {
			status(http.StatusNotFound, "NotFound")
			return
		}
	case http.MethodPost, http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			status(http.StatusBadRequest, err.Error())
			return
		}
		lease := new(coordinationv1.Lease)
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, lease); err != nil { // protobuf
			status(http.StatusBadRequest, err.Error())
			return
		}
		a.lease = lease
	default:
		status(http.StatusMethodNotAllowed, "MethodNotAllowed")
		return
	}
	a.lease.Kind, a.lease.APIVersion = "Lease", "coordination.k8s.io/v1"
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.lease)
}

// holder returns the holder of the lease.
func (a *api) holder() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lease == nil || a.lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *a.lease.Spec.HolderIdentity
}

// stop starts program, and sends it SIGTERM while it reconciles an order.
func stop(t *testing.T, program string) (*api, *recipetest.Process) {
	t.Helper()
	a := &api{}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	p := recipetest.Start(t, program, "RECIPE_BROKER="+srv.URL)
	p.Await("begun: 17")
	require.NotEmpty(t, a.holder())
	p.Terminate()
	return a, p
}

func TestTheOrderIsReconciledAndThenTheLeaseReleased(t *testing.T) {
	a, p := stop(t, "recipe")
	p.Await("shutdown: waiting")
	require.NotEmpty(t, a.holder(), "no other instance reconciles meanwhile")
	p.Release()
	p.ExitsWell()
	require.Contains(t, p.Output(), "order: reconciled")
	require.Empty(t, a.holder())
}

func TestWithoutItTheOrderIsGivenUpAndTheLeaseIsKept(t *testing.T) {
	a, p := stop(t, "without")
	p.Await("order: ")
	require.Equal(t, "exit status 0", p.Exit())
	require.NotContains(t, p.Output(), "order: reconciled")
	require.NotEmpty(t, a.holder())
	require.Equal(t, int32(15), *a.lease.Spec.LeaseDurationSeconds, "so long the next instance waits")
}
