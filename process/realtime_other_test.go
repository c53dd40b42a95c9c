//go:build unix && !linux

package process_test

const hasRealTimeSignals = false
