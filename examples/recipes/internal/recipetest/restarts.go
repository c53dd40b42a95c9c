package recipetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A Broker is what the programs under test consume from.
type Broker struct {
	// Publish publishes message n. If it fails, it is called again; the broker must not
	// have the message twice then.
	Publish func(ctx context.Context, n int) error
	// Settled reports whether the broker has delivered everything, and everything is
	// acknowledged.
	Settled func() (bool, error)
	// Env is added to the environment of the program.
	Env []string
}

// Counts says what has become of the messages that a consumer, restarted many times, got
// from its broker. The broker says that all of them are acknowledged.
type Counts struct {
	Restarts, InHand         int // SIGTERMs, and those that came while a message was in hand
	Published, Lost, Doubled int // messages; those without their second effect; those with one effect twice
	Exits                    map[string]int
}

func (c Counts) String() string {
	return fmt.Sprintf("%d restarts, %d of them with a message in hand; %d messages, %d lost, %d doubled; exits: %v",
		c.Restarts, c.InHand, c.Published, c.Lost, c.Doubled, c.Exits)
}

const (
	restarts = 20
	settles  = 5 * time.Minute // brokers wait until they deliver a message again
)

// Restart restarts a consumer 20 times with SIGTERM while messages are published. Then it
// lets the consumer run until the broker has no message left.
func Restart(t *testing.T, program string, b Broker) Counts {
	t.Helper()
	effects := filepath.Join(t.TempDir(), "effects")
	env := append([]string{"RECIPE_EFFECTS=" + effects}, b.Env...)
	c := Counts{Restarts: restarts, Exits: make(map[string]int)}

	ctx, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() { // about as fast as they are handled
		for tick := time.Tick(60 * time.Millisecond); ctx.Err() == nil; <-tick {
			n := c.Published + 1
			for b.Publish(t.Context(), n) != nil && t.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
			c.Published = n
		}
	})
	defer publishing.Wait()
	defer cancel()
	for i := range restarts {
		p := Start(t, program, env...)
		var last string
		p.eventually(Patience, "the consumer gets messages", func() bool {
			begun := strings.Split(p.Output(), "begun: ")
			last, _, _ = strings.Cut(begun[len(begun)-1], "\n")
			return len(begun) > 2+i%3
		})
		p.Terminate()
		if handled(t, effects)[last+" second"] == 0 {
			c.InHand++
		}
		c.Exits[p.Exit()]++
	}
	cancel()
	p := Start(t, program, env...)
	publishing.Wait()
	p.eventually(settles, "all messages are acknowledged", func() bool {
		settled, err := b.Settled()
		return err == nil && settled
	})
	p.Terminate()
	c.Exits[p.Exit()]++
	if program == "recipe" {
		p.ExitsWell()
	}

	times := handled(t, effects)
	for n := 1; n <= c.Published; n++ {
		first, second := times[fmt.Sprint(n, " first")], times[fmt.Sprint(n, " second")]
		if second == 0 {
			c.Lost++
		}
		if max(first, second) > 1 {
			c.Doubled++
		}
	}
	t.Log(program+":", c)
	return c
}

// NoneLost checks that each message was handled exactly once.
func (c Counts) NoneLost(t *testing.T) {
	t.Helper()
	require.Zero(t, c.Lost)
	require.Zero(t, c.Doubled)
	require.Positive(t, c.InHand, "otherwise it proves nothing")
	require.Equal(t, map[string]int{"exit status 0": c.Restarts + 1}, c.Exits)
}

// handled returns how often each effect is in the file of effects.
func handled(t *testing.T, effects string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(effects)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	times := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		times[strings.TrimSuffix(line, "\n")]++
	}
	return times
}

// eventually waits for a condition, or fails the test if p ends before.
func (p *Process) eventually(patience time.Duration, what string, condition func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		select {
		case <-p.ended:
			require.FailNow(p.t, "the process has ended", what)
		case <-time.After(2 * time.Millisecond):
		}
		require.True(p.t, time.Now().Before(deadline), what)
	}
}
