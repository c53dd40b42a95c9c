//go:build unix && !linux

package listener

func backlog(int) int { return 0 }
