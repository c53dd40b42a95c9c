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

// results keeps results in memory until there are enough of them to be written.
type results struct {
	file  *os.File
	batch int      // results per write
	queue net.Conn // receives the acknowledgements

	mu   sync.Mutex // protects jobs
	jobs []string   // whose results are not yet written
}

func openResults(path string, batch int, queue net.Conn) (*results, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &results{file: f, batch: batch, queue: queue}, nil
}

func (r *results) add(job string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, job)
	if len(r.jobs) < r.batch {
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
		return fmt.Errorf("queue: acknowledge jobs: %w", err) // it sends them again
	}
	return nil
}

// close is the Close hook.
func (r *results) close(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.flushLocked(), r.file.Close())
}
