package httpserver

import (
	"fmt"
	"sync"
)

// after is what a server drains after.
type after struct {
	mu       sync.Mutex // protects what follows
	channels []<-chan struct{}
}

func (a *after) add(channels []<-chan struct{}) {
	for i, ch := range channels {
		if ch == nil {
			panic(fmt.Sprintf("httpserver: DrainAfter: channel %d of %d is nil", i+1, len(channels)))
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.channels = append(a.channels, channels...)
}

func (a *after) all() []<-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.channels
}
