//go:build race

package stacks_test

// The race detector ends a program with more than 8128 goroutines.
const raceDetector = true
