//go:build linux

package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOnlyTheLastLinesOfALogAreQuoted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ log, want string }{
		{"", ""},
		{"one\n", "one"},
		{"one\ntwo", "one\ntwo"},
		{strings.Repeat("early\n", 100) + strings.Repeat("late\n", 15), strings.TrimSpace(strings.Repeat("late\n", 15))},
		{strings.Repeat("x", 10000), strings.Repeat("x", 4096)},
	} {
		log := filepath.Join(t.TempDir(), "log")
		require.NoError(t, os.WriteFile(log, []byte(test.log), 0o644))
		lines := (&daemon{log: log}).lastLines()
		require.Equal(t, "; the last lines of "+log+":\n"+test.want, lines)
	}
}

func TestAWaitEndsWithTheReason(t *testing.T) {
	t.Parallel()
	notYet := func(context.Context) error { return errors.New("not yet") }
	synctest.Test(t, func(t *testing.T) {
		require.EqualError(t, wait(t.Context(), "the node", notYet),
			"waiting for the node: not within 3m0s: not yet")

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("etcd has ended")) })
		require.EqualError(t, wait(ctx, "the node", notYet), "waiting for the node: etcd has ended: not yet")

		start := time.Now()
		require.NoError(t, wait(t.Context(), "the node", func(context.Context) error {
			if time.Since(start) < time.Minute {
				return errors.New("not yet")
			}
			return nil
		}))
	})
}
