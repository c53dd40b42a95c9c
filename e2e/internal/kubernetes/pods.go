//go:build linux

package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// A pod is what is used of the object.
type pod struct {
	Metadata struct {
		Name              string
		DeletionTimestamp string
	}
	Status struct {
		PodIP                 string
		Conditions            []struct{ Type, Status string }
		ContainerStatuses     []status
		InitContainerStatuses []status
	}
}

// A status is that of a container.
type status struct {
	Name             string
	RestartCount     int
	State, LastState struct{ Terminated *terminated }
}

// A terminated container has ended.
type terminated struct {
	ContainerID string
	ExitCode    int
	Reason      string
	Message     string // of /dev/termination-log
}

func (p *pod) ready() bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool {
		return c.Type == "Ready" && c.Status == "True"
	})
}

func (p *pod) restarts() (n int) {
	for _, s := range p.Status.ContainerStatuses {
		n += s.RestartCount
	}
	return n
}

// A seen is what a watch has seen of a pod.
type seen struct {
	pod           pod // the last state of the object
	leaving, gone time.Time
	ends          map[string]end // by the id of the container
}

// An end is that of a container.
type end struct {
	container string
	terminated
}

// pods is a watch of the pods of a namespace. The state of a pod that is gone can not be
// asked for, so the watch has to be there before.
type pods struct {
	mu      sync.Mutex // protects what follows
	seen    map[string]*seen
	changed chan struct{} // closed and replaced at each change
	err     error         // why the watch has ended
}

// watchPods watches until ctx ends.
func watchPods(ctx context.Context, stream func(context.Context, io.Writer, ...string) error) *pods {
	p := &pods{seen: make(map[string]*seen), changed: make(chan struct{})}
	r, w := io.Pipe()
	go func() {
		_ = w.CloseWithError(errors.Join(stream(ctx, w, "get", "pods", "--watch", "--output-watch-events", "--output", "json"), io.EOF))
	}()
	go func() {
		d := json.NewDecoder(r)
		for {
			var event struct {
				Type   string
				Object pod
			}
			if err := d.Decode(&event); err != nil {
				p.update(func() { p.err = fmt.Errorf("the watch of pods has ended: %w", err) })
				_ = r.CloseWithError(err)
				return
			}
			p.update(func() { p.seeLocked(event.Type, event.Object) })
		}
	}()
	return p
}

func (p *pods) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pods) seeLocked(event string, object pod) {
	now := time.Now()
	s := p.seen[object.Metadata.Name]
	if s == nil {
		s = &seen{ends: make(map[string]end)}
		p.seen[object.Metadata.Name] = s
	}
	s.pod = object
	if object.Metadata.DeletionTimestamp != "" && s.leaving.IsZero() {
		s.leaving = now
	}
	if event == "DELETED" {
		s.gone = now
	}
	for _, c := range slices.Concat(object.Status.ContainerStatuses, object.Status.InitContainerStatuses) {
		for _, t := range []*terminated{c.LastState.Terminated, c.State.Terminated} {
			if t != nil {
				s.ends[t.ContainerID] = end{c.Name, *t}
			}
		}
	}
}

// await waits until the condition holds, which is called with the lock held.
func (p *pods) await(ctx context.Context, what string, holds func() bool) error {
	for {
		p.mu.Lock()
		ok, err, changed := holds(), p.err, p.changed
		p.mu.Unlock()
		if ok {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-changed:
		}
	}
}

// awaitReady waits until n pods are ready and no pod is starting.
func (p *pods) awaitReady(ctx context.Context, n int) error {
	return p.await(ctx, fmt.Sprintf("%d pods to be ready", n), func() bool { return len(p.readyLocked()) == n })
}

// ready returns the names of the pods that are ready and stay.
func (p *pods) ready() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readyLocked()
}

func (p *pods) readyLocked() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(p.seen)) {
		if s := p.seen[name]; s.leaving.IsZero() && s.gone.IsZero() && s.pod.ready() {
			names = append(names, name)
		}
	}
	return names
}

// awaitGone waits until the pods are gone.
func (p *pods) awaitGone(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := p.await(ctx, "pod "+name+" to be gone", func() bool { return !p.seen[name].gone.IsZero() }); err != nil {
			return err
		}
	}
	return nil
}

// of returns what has been seen of a pod.
func (p *pods) of(name string) seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := *p.seen[name]
	s.ends = maps.Clone(s.ends)
	return s
}
