//go:build !linux

package shutdown

func bootID() string { return "" } // unknown

func startTime(int) uint64 { return 0 } // unknown
