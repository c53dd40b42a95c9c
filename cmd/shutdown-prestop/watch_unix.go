//go:build unix && !linux

package main

import "time"

// A watched process.
type watched struct{ pid int }

func watch(pid int) watched { return watched{pid} }

// await returns when the process has exited, or when wait has passed.
func (w watched) await(wait time.Duration) error {
	poll(w.pid, wait)
	return nil
}

func (watched) close() {}
