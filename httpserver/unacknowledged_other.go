//go:build unix && !linux

package httpserver

// unacknowledged would return how many bytes the client has not acknowledged.
func unacknowledged(int) int { return 0 }
