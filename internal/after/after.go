// Package after keeps a server from draining before others have drained.
package after

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/warning"
)

// A List has what a server drains after. The zero value is ready for use.
type List struct {
	mu    sync.Mutex // protects what follows
	list  []<-chan struct{}
	begun bool // the drain, too late for more
}

// Add adds channels that are closed when what they stand for has drained. It
// panics if one is nil.
func (l *List) Add(channels ...<-chan struct{}) {
	for i, ch := range channels {
		if ch == nil {
			panic(fmt.Sprintf("DrainAfter: channel %d is nil", i+1))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		l.list = append(l.list, channels...)
	}
}

// Wait waits until all have been closed, or until work ends: the first error is
// said in the log of m then. name is the server's.
func (l *List) Wait(ctx context.Context, m *shutdown.Manager, name string) {
	l.mu.Lock()
	l.begun = true
	l.mu.Unlock()
	work := m.WorkContext()
	for _, ch := range l.list {
		select {
		case <-ch:
			continue
		default:
		}
		select {
		case <-ch:
			continue
		case <-work.Done():
		case <-ctx.Done():
		}
		warning.Log(m.AcceptContext(), "shutdown: a server drains before what it was to drain after",
			"server", name, "still_draining", strings.Join(draining(m, name), ", "), "cause", context.Cause(work))
		return
	}
}

// draining returns the Drain hooks that have not returned, but for one.
func draining(m *shutdown.Manager, but string) (names []string) {
	for _, s := range m.Report().Steps {
		if s.Phase == shutdown.Drain && s.Running && s.Name != "" && s.Name != but {
			names = append(names, s.Name)
		}
	}
	return names
}
