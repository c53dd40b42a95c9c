package shutdown

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/postmortem"
)

// FuzzRecord starts a program when the file of the record has any content. The program runs to
// its end, and a file that is not a shutdown record is left unchanged.
func FuzzRecord(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	whole, err := json.Marshal(postmortem.File[Report]{Format: postmortem.Format, Run: nthRun(1), Started: now, Written: now, Report: Report{
		Phase: Drain, Cause: errors.New("out of luck"), Begun: now, Took: 22 * time.Second, GracePeriod: 30 * time.Second,
		Steps:      []Step{{Phase: Leave, Took: time.Second}, {Phase: Drain, Name: "http", Err: errors.New("a\nb"), Running: true}},
		Pending:    []Step{{Phase: Close, Name: "db"}},
		Unfinished: []Task{{Kind: "http", Name: "GET /orders/17", Since: now}},
	}})
	require.NoError(f, err)
	for i := 0; i < len(whole); i += 7 {
		f.Add(whole[:i])
	}
	f.Add(whole)
	f.Add([]byte(`{"formAt":1}`)) // encoding/json accepts this key, but it is not a record
	f.Add([]byte(`{"format":1,"report":{"phase":"close","took_seconds":-1e300,"timeout_seconds":1e300,"steps":[{"phase":"done","at_seconds":1e300}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "record")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		e, _ := recordEnv(nthRun(2))
		m, _ := recording(t, path, e)
		if last, ok := m.LastRun(); ok {
			require.Less(t, last.Phase, Done)
			require.NotEmpty(t, last.String())
			require.NotEmpty(t, last.summary())
		}
		shutDown(t, m)
		settled(t, m)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		if !postmortem.IsRecord(text) {
			require.Equal(t, text, after)
			return
		}
		var now postmortem.File[Report]
		require.NoError(t, json.Unmarshal(after, &now))
		require.Equal(t, Done, now.Report.Phase)
	})
}
