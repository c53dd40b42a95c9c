package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// An archive stands for a database that handlers need until they return.
type archive struct {
	mu     sync.Mutex // protects what follows
	lines  []string
	closed bool
}

var errClosed = errors.New("the archive is closed")

func (a *archive) add(line string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errClosed
	}
	a.lines = append(a.lines, line)
	return nil
}

func (a *archive) count(text string) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, errClosed
	}
	var n int64
	for _, line := range a.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n, nil
}

func (a *archive) close(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	fmt.Println("archive closed, lines:", len(a.lines))
	return nil
}
