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

// A sickAgent answers with a long page, as proxies do, while it is sick.
type sickAgent struct {
	*fakeAgent
	sick atomic.Bool
}

func (s *sickAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.sick.Load() {
		return s.fakeAgent.RoundTrip(r)
	}
	answer := httptest.NewRecorder()
	http.Error(answer, strings.Repeat("<p>", 100<<10), http.StatusInternalServerError)
	return answer.Result(), nil
}

func TestALongAnswerOfAnAgentFitsIntoALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &sickAgent{fakeAgent: &fakeAgent{}}
		r := s.registrar(t)
		cfg := api.DefaultConfig()
		cfg.HttpClient = &http.Client{Transport: s}
		client, err := api.NewClient(cfg)
		require.NoError(t, err)
		r.Clients, r.Maintenance, r.Logger = []*api.Client{client, client}, time.Second, slog.New(slog.NewJSONHandler(&log, nil))
		require.NoError(t, r.Register(t.Context(), orders))
		s.sick.Store(true)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		require.Error(t, r.Deregister(t.Context(), orders), "and the keep-alive has ended")

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
		s.sick.Store(false)
		require.NoError(t, r.Deregister(t.Context(), orders))
	})
}
