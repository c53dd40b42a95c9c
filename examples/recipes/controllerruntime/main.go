// Controllerruntime is a controller of Kubernetes with leader election. It is a module of its
// own, because the modules of Kubernetes take minutes to compile.
package main

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
)

func main() {
	log.SetLogger(zap.New())
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start)))
}

var (
	config  = &rest.Config{Host: os.Getenv("RECIPE_BROKER")}
	metrics = metricsserver.Options{BindAddress: "0"}
	orders  = source.Channel(oneOrder(), &handler.EnqueueRequestForObject{})
)

// oneOrder returns a channel with an event.
func oneOrder() <-chan event.GenericEvent {
	c := make(chan event.GenericEvent, 1)
	c <- event.GenericEvent{Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "17", Namespace: "default"}}}
	return c
}

func reconcileOrder(ctx context.Context, name string) error {
	if err := demo.Work(ctx, name); err != nil {
		fmt.Println("order:", err)
		return err
	}
	fmt.Println("order: reconciled")
	return nil
}

// recipe

func start(m *shutdown.Manager) error {
	timeout := m.Report().Timeout // longer than WorkContext, which ends the reconcilers
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Metrics:        metrics,
		LeaderElection: true, LeaderElectionID: "orders", LeaderElectionNamespace: "default",
		LeaderElectionReleaseOnCancel: true, // when the reconcilers have returned
		GracefulShutdownTimeout:       &timeout,
	})
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(mgr).Named("orders").WatchesRawSource(orders).
		Complete(reconcile.Func(func(_ context.Context, r reconcile.Request) (reconcile.Result, error) {
			// The context of controller-runtime ends with that of mgr.Start.
			return reconcile.Result{}, reconcileOrder(m.WorkContext(), r.Name)
		}))
	if err != nil {
		return err
	}
	m.Go("controllers", mgr.Start) // instead of ctrl.SetupSignalHandler
	return nil
}

// end
