package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAStallMeterCountsTheStallsOfItsRun(t *testing.T) {
	c := &stallClock{meters: make(map[*stallMeter]bool)}
	c.add(time.Second)
	m := c.measure()
	c.add(20 * time.Millisecond)
	c.add(50 * time.Millisecond)
	c.add(30 * time.Millisecond)
	seen := m.stop()
	c.add(2 * time.Second)
	require.Equal(t, stalls{total: 100 * time.Millisecond, longest: 50 * time.Millisecond}, seen)
	require.Equal(t, 3100*time.Millisecond, c.total())
}
