package shutdown

import (
	"context"
	"sync"
)

// The default Manager is made on first use, so that importing this package has
// no effect on signals.
var (
	defaultMu      sync.Mutex // protects what follows
	defaultManager *Manager
	defaultUsed    bool
)

// Default returns the Manager that the package's functions use. The first use
// makes it, with New(Config{}), unless SetDefault was called before. Libraries
// take a *Manager or return a stop function; the default is for main.
func Default() *Manager {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if defaultManager == nil {
		m, err := New(Config{})
		if err != nil {
			panic(err) // the zero Config contradicts nothing, and the environment cannot
		}
		defaultManager = m
	}
	defaultUsed = true
	return defaultManager
}

// SetDefault makes m the Manager that Default returns. It panics if m is nil,
// or once the default is in use: hooks on two Managers would not know of each
// other.
func SetDefault(m *Manager) {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if m == nil {
		panic("shutdown: SetDefault(nil)")
	}
	if defaultUsed {
		panic("shutdown: SetDefault: the default Manager is in use already; set it first thing in main")
	}
	defaultManager = m
}

// On calls [Manager.On] of the default Manager.
func On(p Phase, name string, stop func(context.Context) error) (remove func() bool) {
	return Default().On(p, name, stop)
}

// Go calls [Manager.Go] of the default Manager.
func Go(name string, run func(context.Context) error) { Default().Go(name, run) }

// Track calls [Manager.Track] of the default Manager.
func Track(name string) (done func(), ok bool) { return Default().Track(name) }

// Wait calls [Manager.Wait] of the default Manager.
func Wait() error { return Default().Wait() }
