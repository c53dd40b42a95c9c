//go:build !race && !processgroup

package process_test

const raceDetector = false
