package shutdown

import (
	"context"
	"fmt"
	"strings"
)

// WaitFor is for Drain hooks that have to come after others: it returns when all of
// the channels are closed, as those are that Drained of a server returns. If they
// are not by the end of WorkContext, or of ctx, which is the hook's, it returns all
// the same, so that the hook has time left, and a warning in the log names the hook
// and what has not ended. It panics if a channel is nil.
func (m *Manager) WaitFor(ctx context.Context, hook string, channels ...<-chan struct{}) {
	for i, ch := range channels {
		if ch == nil {
			panic(fmt.Sprintf("shutdown: WaitFor: channel %d of %d is nil", i+1, len(channels)))
		}
	}
	for _, ch := range channels {
		select {
		case <-ch:
			continue
		default:
		}
		select {
		case <-ch:
			continue
		case <-m.work.Done():
		case <-ctx.Done():
		}
		m.log.warn("shutdown: not waited for any longer", "hook", hook, "waiting_for", strings.Join(m.draining(hook), ", "))
		return
	}
}

// draining returns the Drain hooks that have not returned, but for one.
func (m *Manager) draining(but string) (names []string) {
	for _, s := range m.reportButTasks().Steps {
		if s.Phase == Drain && s.Running && s.Name != "" && s.Name != but {
			names = append(names, s.Name)
		}
	}
	return names
}
