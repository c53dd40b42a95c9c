package consul_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
)

// A failingAgent answers with a long error page, as a proxy may do, while fails is
// set.
type failingAgent struct {
	*fakeAgent
	fails atomic.Bool
}

func (f *failingAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	if !f.fails.Load() {
		return f.fakeAgent.RoundTrip(r)
	}
	answer := httptest.NewRecorder()
	http.Error(answer, strings.Repeat("<p>", 100<<10), http.StatusInternalServerError)
	return answer.Result(), nil
}

func TestALongAnswerOfAnAgentIsTruncatedInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &failingAgent{fakeAgent: &fakeAgent{}}
		r := f.registrar(t)
		cfg := api.DefaultConfig()
		cfg.HttpClient = &http.Client{Transport: f}
		client, err := api.NewClient(cfg)
		require.NoError(t, err)
		r.Clients, r.Maintenance, r.Logger = []*api.Client{client, client}, time.Second, slog.New(slog.NewJSONHandler(&log, nil))
		require.NoError(t, r.Register(t.Context(), orders))
		f.fails.Store(true)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		require.Error(t, r.Deregister(t.Context(), orders), "but the renewal stops")

		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		require.Len(t, lines, 2)
		for i, want := range []string{"discovery: entry not renewed", "consul: maintenance mode not set"} {
			var line map[string]any
			require.NoError(t, json.Unmarshal([]byte(lines[i]), &line))
			require.Equal(t, want, line["msg"])
			require.Equal(t, "WARN", line["level"])
			require.Equal(t, "orders-1", line["id"])
			require.Contains(t, line["error"], "500")
			require.NotContains(t, line, "err")
			require.LessOrEqual(t, len(line["error"].(string)), 2<<10)
			require.Less(t, len(lines[i]), 8<<10)
		}
		f.fails.Store(false)
		require.NoError(t, r.Deregister(t.Context(), orders))
	})
}
