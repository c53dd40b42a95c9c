package shutdowntest_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/shutdowntest"
)

func ExampleNew() {
	var t *testing.T // the argument of the test function

	m := shutdowntest.New(t)
	m.On(shutdown.Close, "db", func(context.Context) error { return nil })
	srv, err := httpserver.Start(m, &http.Server{Addr: "127.0.0.1:0", Handler: http.NotFoundHandler()})
	require.NoError(t, err)

	resp, err := http.Get("http://" + srv.Addr().String() + "/orders/17")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusNotFound, resp.StatusCode)

	// At the end of the test the server drains, db is closed, and an error of either
	// fails the test.
}
