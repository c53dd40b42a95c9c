package shutdown

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/testlog"
)

func TestWorkAdmittedAfterTheEndOfWorkContextIsCutOff(t *testing.T) {
	for name, force := range map[string]bool{"by the deadline": false, "by force": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log testlog.Buffer
				m, err := New(Config{GracePeriod: 30 * time.Second, LameDuck: -1, Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
				require.NoError(t, err)
				m.On(Drain, "a server that still accepts", func(context.Context) error {
					early, _ := m.Track("early")
					early()
					<-m.WorkContext().Done()
					late, ok := m.Track("late")
					require.True(t, ok)
					late() // at once, but the work may not have been finished
					return nil
				})
				m.Begin(nil)
				if force {
					<-m.Reached(Drain)
					synctest.Wait()
					m.Force(nil)
				}
				err = m.Wait()
				require.ErrorContains(t, err, "1 task cut off: late")
				require.Equal(t, force, errors.Is(err, ErrForced))
				require.Equal(t, !force, errors.Is(err, ErrTimeout))
				require.Len(t, m.Report().CutOff, 1)
				require.Empty(t, m.Report().Unfinished)
				require.Contains(t, log.String(), `level=ERROR msg="shutdown: cut off"`)
			})
		})
	}
}

// A Report that is taken at the moment of the cut has both CutOff and CutOffAt, or neither.
func TestAReportThatListsCutOffTasksSaysWhenTheyWereCutOff(t *testing.T) {
	for range 20 {
		m, err := New(Config{GracePeriod: 30 * time.Second, LameDuck: -1, Signals: NoSignals(), Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		for range 20 {
			_, _ = m.Track("GET /")
		}
		go m.Force(nil)
		for r := m.Report(); r.Phase != Done; r = m.Report() {
			require.False(t, len(r.CutOff) > 0 && r.CutOffAt.IsZero())
			if len(r.CutOff) > 0 {
				break
			}
		}
		_ = m.Wait()
	}
}
