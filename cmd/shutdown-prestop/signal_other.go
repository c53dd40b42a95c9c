//go:build !unix

package main

import (
	"errors"
	"time"
)

func sendSignal(string, int, time.Duration) error {
	return errors.New("signals cannot be sent on this system: use --url")
}
