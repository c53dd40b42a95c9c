//go:build !race

package stacks_test

const raceDetector = false
