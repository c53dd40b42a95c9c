package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/reaper"
)

func TestCountsAgreeAndListsAreBounded(t *testing.T) {
	require.Equal(t, "1 process: 7 app (1.2s)", list(1, []reaper.Process{{Pid: 7, Command: "app", Age: 1234 * time.Millisecond}}))
	require.Equal(t, "0 processes", list(0, nil))
	many := make([]reaper.Process, 1000)
	for i := range many {
		many[i] = reaper.Process{Pid: 7, Command: "app", Errno: unix.EPERM}
	}
	require.Equal(t, strings.Repeat("7 app (operation not permitted), ", 19)+"7 app (operation not permitted) and 980 more", reaper.List(len(many), many))
	say("%s", strings.Repeat("x", 100<<10))
	require.Len(t, <-lines, clip.Max)
}
