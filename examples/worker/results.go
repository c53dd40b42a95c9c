package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// results holds what was added in memory until there is enough of it.
type results struct {
	file  *os.File
	most  int
	queue net.Conn // is told what is on disk

	mu   sync.Mutex // protects what follows
	jobs []string   // in memory only
}

func openResults(path string, most int, queue net.Conn) (*results, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &results{file: f, most: most, queue: queue}, nil
}

func (r *results) add(job string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, job)
	if len(r.jobs) < r.most {
		return nil
	}
	return r.flushLocked()
}

func (r *results) inMemory() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs)
}

func (r *results) flushLocked() error {
	if len(r.jobs) == 0 {
		return nil
	}
	jobs := strings.Join(r.jobs, "\n") + "\n"
	if _, err := r.file.WriteString(jobs); err != nil {
		return err
	}
	if err := r.file.Sync(); err != nil {
		return err
	}
	r.jobs = nil
	if err := r.queue.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(r.queue, jobs); err != nil {
		return fmt.Errorf("queue: %w", err) // it sends these jobs again
	}
	return nil
}

// close is the hook.
func (r *results) close(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.flushLocked(), r.file.Close())
}
