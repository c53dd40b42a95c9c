package httpserver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestTheReportCountsRequestsWhileLeavingAndConnectionsClosed(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, network := manager(t, shutdown.Config{LameDuck: time.Second}), newPipeNet()
				release, kinds := make(chan struct{}), make(chan string, 1)
				startOn(t, m, handle(func(_ http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/held" {
						kinds <- m.Tasks()[0].Kind
						<-release
					}
				}), network)
				for range 3 { // requests before the beginning do not count; their connections stay open
					require.NoError(t, get(t, network.client(t, protocols[protocol]), "http://pipe").err)
				}
				require.Empty(t, m.Report().Traffic)
				ended := wait(m)
				m.Begin(nil)
				held := make(chan error, 1)
				client := network.client(t, protocols[protocol])
				go func() { held <- get(t, client, "http://pipe/held").err }()
				require.Equal(t, "http", <-kinds)
				require.Equal(t, []shutdown.Traffic{{Kind: "http", RequestsWhileLeaving: 1}}, m.Report().Traffic)
				<-network.ended // so the server drains
				close(release)
				require.NoError(t, <-held)
				require.NoError(t, <-ended)
				require.Equal(t, []shutdown.Traffic{{Kind: "http", RequestsWhileLeaving: 1, ConnectionsClosed: 4}}, m.Report().Traffic)
				m.AddTraffic(shutdown.Traffic{Kind: "http", RequestsWhileLeaving: 1})
				require.Equal(t, 1, m.Report().Traffic[0].RequestsWhileLeaving, "the Report does not change after the end")
			})
		})
	}
}
