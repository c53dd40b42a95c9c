//go:build !linux

package postmortem

func bootID() string { return "" } // unknown

func startTime(int) uint64 { return 0 } // unknown
