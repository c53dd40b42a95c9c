//go:build unix

package shutdown_test

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spoilt reports whether a child proves nothing because the machine was busy: it stopped itself
// when the phase might have ended already, or was not scheduled after it continued.
func (p *process) spoilt(end time.Duration) bool {
	return p.stoppedAt.Sub(p.begun) >= end || strings.Contains(strings.Join(p.events(), "\n"), stalled)
}

func TestAProcessStoppedPastItsDeadlineStillRunsItsCloseHooks(t *testing.T) {
	t.Parallel()
	names := []string{"stopped by its action", "stopped in leave", "stopped in drain"}
	names = append(names, names...)
	for range 10 {
		var several []*process
		for _, name := range names {
			several = append(several, start(t, name))
		}
		for _, p := range several {
			p.out.await("ready")
			p.send(syscall.SIGTERM)
		}
		continueAfter(stopTimeout+2500*time.Millisecond, several...) // so that a tick of the log is more than 2 s late
		var again []string
		for i, p := range several {
			p.requireExit(1)
			if p.spoilt(stopTimeout * 4 / 5) { // which is the end of Drain
				again = append(again, names[i])
				continue
			}
			require.ElementsMatch(t, []string{"leave hook", "drain hook", "close hook, in time"}, p.events())
			p.log.await("the process was not scheduled for a while")
			p.log.await(`msg="shutdown: timed out"`)
			require.NotContains(t, p.log.String(), "nobody has called Wait")
		}
		if names = again; len(names) == 0 {
			return
		}
	}
	require.Fail(t, "the machine was too busy in ten rounds", "%q", names)
}

func TestAProcessStoppedDuringCloseStillRunsTheOtherCloseHooksInOrder(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]int{"stopped in close": 1, "stopped in close, forced": 128 + int(syscall.SIGTERM)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p *process
			for range 10 {
				p = start(t, name)
				p.out.await("ready")
				p.send(syscall.SIGTERM) // not signal: it may stop before it confirms the signal
				continueAfter(stopTimeout+300*time.Millisecond, p)
				p.requireExit(code)
				// The other hooks have half a second. On a busy machine 50 ms may take that long.
				late := regexp.MustCompile(`close hook \\"(second|first)\\": did not return in time`).MatchString(p.log.String())
				if !late && !p.spoilt(stopTimeout/5) { // with Force the first hook of three has a second
					break
				}
			}
			require.Equal(t, []string{"second begins, in time", "second ends", "first begins, in time", "first ends"}, p.events())
			require.NotContains(t, p.log.String(), "nobody has called Wait")
		})
	}
}
