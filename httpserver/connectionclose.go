package httpserver

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown"
)

// A connectionClose decides which responses have "Connection: close".
type connectionClose struct {
	m     *shutdown.Manager
	once  sync.Once
	begun time.Time
	ramp  time.Duration // during which the share of responses grows; 0 means that all have it
}

// decide reports whether the response whose header is about to be written has
// "Connection: close".
func (c *connectionClose) decide(s *streams) bool {
	phase := c.m.Phase()
	if phase == shutdown.Running {
		return false
	}
	c.once.Do(func() {
		r := c.m.Report()
		c.begun, c.ramp = r.Begun, r.LameDuck
	})
	elapsed := time.Since(c.begun)
	ramping := phase == shutdown.Leave && elapsed < c.ramp && (s == nil || !s.isClosing())
	if ramping && rand.Float64() >= float64(elapsed)/float64(c.ramp) { //nolint:gosec // a share of responses, not a secret
		return false
	}
	return s == nil || s.hold()
}
