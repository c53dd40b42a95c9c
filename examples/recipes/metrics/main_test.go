package main

import (
	"net/http"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
	"github.com/gracefulgo/shutdown/httpserver"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without serves everything on one port.
func without() {
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, func(m *shutdown.Manager) error {
		http.Handle("GET /metrics", promhttp.Handler())
		http.HandleFunc("GET /orders/{id}", order)
		_, err := httpserver.Start(m, &http.Server{Addr: addr})
		return err
	})))
}

func TestMetricsAreServedDuringTheDrainAndAProfileDoesNotDelayIt(t *testing.T) {
	admin := recipetest.FreeAddr(t)
	p := recipetest.Start(t, "recipe", "RECIPE_ADMIN_ADDR="+admin)
	p.AwaitListen()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	profile := recipetest.Get(t, c, "http://"+admin+"/debug/pprof/profile?seconds=600")
	order := recipetest.Get(t, c, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	p.Await("shutdown: waiting")
	metrics := <-recipetest.Get(t, c, "http://"+admin+"/metrics")
	require.NoError(t, metrics.Err)
	require.Equal(t, http.StatusOK, metrics.Status)
	require.Contains(t, metrics.Body, "go_goroutines ")
	p.Release()
	require.Equal(t, "done\n", (<-order).Body)
	p.ExitsWell()
	require.NotContains(t, p.Log(), "pprof")
	require.Error(t, (<-profile).Err)
}

func TestOnThePortOfTheServiceAScrapeDuringTheDrainIsRefusedAndAProfileDelaysIt(t *testing.T) {
	p := recipetest.Start(t, "without")
	p.AwaitListen()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	profile := recipetest.Get(t, c, "http://"+p.Addr+"/debug/pprof/profile?seconds=600")
	p.Terminate()
	p.Await(`waiting_for="GET /debug/pprof/profile (`)
	require.ErrorContains(t, (<-recipetest.Get(t, c, "http://"+p.Addr+"/metrics")).Err, "connection refused")
	p.Kill()
	require.Error(t, (<-profile).Err)
}
