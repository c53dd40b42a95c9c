package main

import (
	"context"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// controllerRuntime is a Manager with an HTTP server, and a Runnable for each resource.
// There is no API server, and nothing that asks for one.
//
// https://pkg.go.dev/sigs.k8s.io/controller-runtime/pkg/manager#Server and
// https://book.kubebuilder.io/cronjob-tutorial/empty-main.html
func controllerRuntime(s *service.Service) {
	config := &rest.Config{Host: "127.0.0.1:1"}
	//lines:begin controller-runtime
	ctrl.SetLogger(zap.New())
	log, grace := ctrl.Log.WithName("setup"), service.Grace
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		GracefulShutdownTimeout: &grace,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		log.Error(err, "unable to create the manager")
		os.Exit(1)
	}
	for _, cleanup := range []func(context.Context) error{s.CloseCache, s.FlushQueue, s.CloseDatabase} {
		if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
			<-ctx.Done()
			return cleanup(context.Background())
		})); err != nil {
			log.Error(err, "unable to add a runnable")
			os.Exit(1)
		}
	}
	if err := mgr.Add(&manager.Server{
		Server:          &http.Server{Addr: s.HTTP, Handler: s, Protocols: service.Protocols()},
		ShutdownTimeout: &grace,
	}); err != nil {
		log.Error(err, "unable to add the server")
		os.Exit(1)
	}
	if err := s.Connect(context.Background()); err != nil {
		log.Error(err, "unable to connect")
		os.Exit(1)
	}
	if err := mgr.Start(ctrl.SetupSignalHandler()); err != nil {
		log.Error(err, "problem running the manager")
		os.Exit(1)
	}
	//lines:end
}
