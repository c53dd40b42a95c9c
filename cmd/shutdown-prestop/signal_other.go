//go:build !unix

package main

import (
	"errors"
	"time"
)

func sendSignal(string, int, time.Duration) error {
	return errors.New("there are no signals to send here: use --url")
}
