package sequence_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

// thirty is the Plan of most tests, without a lame duck. A Leave hook that hangs is
// abandoned after 10 s, WorkContext ends after 18 s and Drain after 20 s.
var thirty = sequence.Plan{
	DrainEnd: 20 * time.Second, CloseEnd: 30 * time.Second, Timeout: 30 * time.Second, Reserve: 10 * time.Second,
}

// A program is what surrounds a Sequence. It has a journal of what happens, with the
// time since the program was made.
type program struct {
	*sequence.Sequence
	made  time.Time
	ended chan struct{} // closed when Run has returned

	// For freezable.
	changes     int
	frozenUntil time.Duration

	mu      sync.Mutex // protects what follows
	journal []string
}

func newProgram(plan sequence.Plan, change ...func(*program, *sequence.Config)) *program {
	p := &program{made: time.Now(), ended: make(chan struct{})}
	c := sequence.Config{
		Base:        context.Background(),
		Plan:        func(bool, error) sequence.Plan { return plan },
		Drain:       func(context.Context) error { return nil },
		CutOff:      func() {},
		WorkEnded:   func(error) {},
		CutOffError: func(time.Time, error) error { return nil },
		Began:       func(time.Time, error, sequence.Plan) {},
		Forced:      func(error) {},
		Failed:      func(sequence.Step, bool) {},
		Changed:     func() {},
		Overdue:     func(sequence.Phase) {},
	}
	for _, f := range change {
		f(p, &c)
	}
	p.Sequence = sequence.New(c)
	return p
}

// workUntil is a program with work in flight until that much time has passed.
func workUntil(d time.Duration) func(*program, *sequence.Config) {
	return func(p *program, c *sequence.Config) {
		c.Drain = func(ctx context.Context) error {
			select {
			case <-time.After(d - p.now()):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// journalCallbacks writes into the journal what a Sequence calls, but for Changed.
func journalCallbacks(p *program, c *sequence.Config) {
	drain := c.Drain
	c.Drain = func(ctx context.Context) error {
		p.note("drain")
		return drain(ctx)
	}
	c.CutOff = func() { p.note("cut off") }
	c.WorkEnded = func(cause error) { p.note("work ended: %v", cause) }
	c.CutOffError = func(_ time.Time, cause error) error { p.note("drained: %v", cause); return nil }
	c.Began = func(_ time.Time, cause error, _ sequence.Plan) { p.note("began: %v", cause) }
	c.Forced = func(cause error) { p.note("forced: %v", cause) }
	c.Failed = func(s sequence.Step, afterEnd bool) {
		p.note("failed: %v %s: %v, after the end %t", s.Phase, s.Name, s.Err, afterEnd)
	}
	c.Overdue = func(phase sequence.Phase) { p.note("overdue: %v", phase) }
}

func (p *program) now() time.Duration { return time.Since(p.made) }

func (p *program) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.journal = append(p.journal, fmt.Sprintf("%v ", p.now())+fmt.Sprintf(format, args...))
}

func (p *program) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.journal...)
}

// takes is a hook that writes its name into the journal and returns nil after d.
func (p *program) takes(d time.Duration, name string) func(context.Context) error {
	return func(context.Context) error {
		p.note("%s", name)
		time.Sleep(d)
		return nil
	}
}

// hang is a hook that returns only after the shutdown. It writes into the journal when
// it starts and when its context ends.
func (p *program) hang(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		p.note("%s", name)
		<-ctx.Done()
		p.note("%s: %v", name, context.Cause(ctx))
		<-p.ended
		return nil
	}
}

// begin begins the shutdown, and returns.
func (p *program) begin(cause error, force bool) {
	if p.Begin(cause, force) {
		go func() {
			defer close(p.ended)
			p.Run()
		}()
	}
}

// shutDown returns when the shutdown has ended.
func (p *program) shutDown() {
	p.begin(nil, false)
	<-p.ended
}

// step is that of a hook; without a name it is that of a phase.
func (p *program) step(t testing.TB, phase sequence.Phase, name string) sequence.Step {
	t.Helper()
	for _, s := range p.Snapshot().Steps {
		if s.Phase == phase && s.Name == name {
			return s
		}
	}
	require.Failf(t, "no step", "%v %q", phase, name)
	return sequence.Step{}
}

func nothing(context.Context) error { return nil }

var threePhases = []sequence.Phase{sequence.Leave, sequence.Drain, sequence.Close}
