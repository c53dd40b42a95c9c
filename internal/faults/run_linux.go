package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/load"
)

// hangLimit is how long after its deadline a child may run before it is killed.
const hangLimit = 20 * time.Second

// stepLimit bounds the wait for an event.
const stepLimit = 20 * time.Second

// A run is one child process, seen from the parent.
type run struct {
	plan    Plan
	dir     string
	cmd     *exec.Cmd
	journal *reader
	stderr  bytes.Buffer
	read    chan struct{} // closed when the journal has been read to its end
	exited  chan struct{} // closed when the process has ended
	mu      sync.Mutex    // protects out.Sent, out.Resumed and out.Killed while signals are sent
	out     Outcome
}

// Run runs the plan once, in directory dir, and returns the outcome. If without is
// set, the service does not use the library. An error says that the run could not be
// done; it says nothing about the library.
func Run(p Plan, dir string, clock *stallClock, without bool) (Outcome, error) {
	r := &run{
		plan: p, dir: dir, journal: newReader(),
		read: make(chan struct{}), exited: make(chan struct{}), out: Outcome{Plan: p},
	}
	meter := clock.measure()
	if err := r.start(without); err != nil {
		meter.stop()
		return Outcome{}, fmt.Errorf("starting the service: %w", err)
	}
	r.watch()
	var helpers sync.WaitGroup
	for _, s := range p.Later {
		helpers.Go(func() { r.at(s.Moment, func() { r.send(s) }) })
	}
	if p.Stop != nil {
		helpers.Go(func() { r.at(p.Stop.Moment, r.pause) })
	}
	if p.First.Event == inStartUp {
		helpers.Go(func() { r.at(p.First.Moment, func() { r.send(p.First) }) })
	}
	r.drive()
	<-r.exited
	helpers.Wait()
	<-r.read
	r.out.Stall = meter.stop().longest
	r.collect()
	return r.out, nil
}

func (r *run) record() string { return filepath.Join(r.dir, "record") }

func (r *run) start(without bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	plan, err := json.Marshal(r.plan)
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer write.Close()
	c := exec.Command(self)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SHUTDOWN_") && !strings.HasPrefix(v, "KUBERNETES_") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, planVariable+"="+string(plan), recordVariable+"="+r.record())
	if without {
		c.Env = append(c.Env, withoutVariable+"=1")
	}
	if r.plan.OneProc {
		c.Env = append(c.Env, "GOMAXPROCS=1")
	}
	if r.plan.MemoryMiB > 0 {
		c.Env = append(c.Env, "GOMEMLIMIT="+strconv.Itoa(r.plan.MemoryMiB)+"MiB")
	}
	c.Dir = r.dir
	c.Stderr = &r.stderr
	c.ExtraFiles = []*os.File{write}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that processes it leaves can be found
	c.WaitDelay = time.Second
	if _, err := c.StdinPipe(); err != nil { // stays open until this process ends, and the child with it
		read.Close()
		return err
	}
	r.cmd = c
	if err := c.Start(); err != nil {
		read.Close()
		return err
	}
	go func() {
		defer close(r.read)
		defer read.Close()
		r.journal.read(read)
	}()
	return nil
}

// watch waits in the background for the process to end, and kills it at a limit.
func (r *run) watch() {
	limit := r.plan.Timeout.D() + hangLimit + r.plan.stopped()
	kill := time.AfterFunc(limit, func() {
		r.mu.Lock()
		r.out.Killed = fmt.Sprintf("the process had not ended after %v", limit)
		r.mu.Unlock()
		_ = r.cmd.Process.Signal(syscall.SIGQUIT) // Go's runtime writes the stacks
		time.AfterFunc(5*time.Second, func() { _ = r.cmd.Process.Kill() })
	})
	go func() {
		defer close(r.exited)
		defer kill.Stop()
		err := r.cmd.Wait()
		r.out.Exited = time.Now()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			r.out.LogText = err.Error()
		}
		r.out.ExitCode = r.cmd.ProcessState.ExitCode()
		if status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			r.out.EndedBy = status.Signal().String()
		}
	}()
}

// at calls do at a moment, if the process reaches it.
func (r *run) at(m Moment, do func()) {
	kind, name := hookStarted, "mark "+m.Event
	switch m.Event {
	case inStartUp:
		kind, name = started, ""
	case whileRunning:
		kind, name = listening, ""
	}
	if _, ok := r.journal.await(kind, name, stepLimit+hangLimit); !ok {
		return
	}
	if r.sleep(m.After.D()) {
		do()
	}
}

// sleep waits for d. It reports false, at once, if the process ends before.
func (r *run) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.exited:
		return false
	}
}

// over reports whether Wait has returned in the child: one more signal would end it.
func (r *run) over() bool {
	for _, e := range r.journal.all() {
		if e.Kind == waited {
			return true
		}
	}
	return false
}

// send sends the signals of s until the child says that Wait has returned.
func (r *run) send(s Signal) {
	for i := range s.Count {
		if i > 0 && s.Spread > 0 && i%20 == 0 && !r.sleep(s.Spread.D()*20/time.Duration(s.Count)) {
			return
		}
		if i%20 == 0 && r.over() {
			return
		}
		name := s.Names[i%len(s.Names)]
		at := time.Now()
		if r.cmd.Process.Signal(signalNumber(name)) != nil {
			return // the process has ended
		}
		r.mu.Lock()
		r.out.Sent = append(r.out.Sent, Sent{at, name})
		r.mu.Unlock()
	}
}

func (r *run) pause() {
	if r.cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return
	}
	time.Sleep(r.plan.Stop.For.D()) // a stopped process does not end
	r.mu.Lock()
	r.out.Resumed = time.Now()
	r.mu.Unlock()
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
}

// drive puts load on the service, sends it the first signal, and waits for its end.
func (r *run) drive() {
	ready, ok := r.journal.await(listening, "", stepLimit)
	if !ok {
		<-r.exited // the shutdown was quicker than the start-up
		return
	}
	loading, stopLoad := context.WithCancel(context.Background())
	defer stopLoad()
	clients := load.Clients{Mode: modes[r.plan.Load.Mode], N: r.plan.Load.Clients, Addr: ready.Name, Timeout: answerTimeout}.Start(loading)
	breaking, stopBreaking := context.WithCancel(context.Background())
	defer stopBreaking()
	var faulty sync.WaitGroup
	for kind, n := range r.plan.Clients {
		for range n {
			faulty.Go(func() { faultyClients[kind](breaking, ready.Name, ready.TLS) })
		}
	}
	var sent requests
	for i, w := range r.plan.Work {
		if w.Kind == request {
			sent.start(breaking, ready.Name, i)
		}
	}
	if r.plan.First.Event == whileRunning {
		r.warm(clients)
		if r.sleep(r.plan.First.After.D()) {
			r.send(r.plan.First)
		}
	}
	<-r.exited
	stopLoad()
	r.out.Load = clients.Wait()
	// Responses may still be in the clients' sockets, so they have time to read them
	// before they are stopped.
	settle := time.AfterFunc(2*time.Second, stopBreaking)
	defer settle.Stop()
	r.out.Requests = sent.wait()
	stopBreaking()
	faulty.Wait()
}

// warm waits until the load and the requests of the plan's work have begun. If
// descriptors are exhausted some never do, so the wait is short.
func (r *run) warm(clients *load.Run) {
	limit := 5 * time.Second
	if r.plan.Descriptors > 0 {
		limit = 200 * time.Millisecond
	}
	for i, w := range r.plan.Work {
		if w.Kind == request {
			r.journal.await(workStarted, fmt.Sprintf("POST /work/%d", i), limit)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		select {
		case <-r.exited: // a job may end the process at any time
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = clients.Warm(ctx, 1) // it fails if descriptors are exhausted
}

// signalNumber returns the signal with that name, which is without SIG.
func signalNumber(name string) syscall.Signal { return unix.SignalNum("SIG" + name) }
