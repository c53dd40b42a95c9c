package shutdown_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// FuzzShutdown calls the methods of a Manager in any order, in virtual time. Every hook runs
// exactly once, Wait returns by the timeout, and no work is admitted after the drain. Each byte
// of the input is a step.
//
//	go test -run '^$' -fuzz FuzzShutdown -fuzztime 10m .
func FuzzShutdown(f *testing.F) {
	f.Add([]byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff})
	f.Add([]byte{0x40, 0x41, 0x42, 0x30, 0x80, 0x91, 0x90, 0xa0})
	f.Add([]byte{0x02, 0x12, 0x22, 0x32, 0x42, 0x52, 0x62, 0x72, 0x90, 0x9f, 0xa0})
	f.Add([]byte{0x61, 0x51, 0x90, 0x01, 0x11, 0x21, 0x31, 0x9f, 0x61, 0xa0, 0x71})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 200 {
			return
		}
		synctest.Test(t, func(t *testing.T) { (&fuzzed{T: t}).run(program) })
	})
}

type fuzzed struct {
	*testing.T
	m       *shutdown.Manager
	release chan struct{} // ends what hangs
	runs    []*int        // how often each hook ran
	removed []*bool
	removes []func() bool
	dones   []func()
}

func (f *fuzzed) run(program []byte) {
	f.m, _ = newManager(f.T, shutdown.Config{LameDuck: 3 * time.Second})
	f.release = make(chan struct{})
	var begun, ended time.Time
	stop := context.AfterFunc(f.m.AcceptContext(), func() { begun = time.Now() })
	defer stop()
	go func() {
		_ = f.m.Wait()
		ended = time.Now()
	}()
	var late []string
	watching := make(chan struct{})
	go func() { // from Close on Track has to fail
		defer close(watching)
		for {
			select {
			case <-f.release:
				return
			case <-time.After(100 * time.Millisecond):
			}
			if f.m.Phase() < shutdown.Close {
				continue
			}
			if _, ok := f.m.Track("late"); ok {
				late = append(late, f.m.Phase().String())
			}
		}
	}()

	for _, b := range program {
		f.step(b)
	}
	f.m.Begin(nil)
	_ = f.m.Wait()
	_, ok := f.m.Track("after the end")

	time.Sleep(time.Second) // for hooks that are registered after the end
	synctest.Wait()
	close(f.release)
	<-watching
	synctest.Wait()
	require.LessOrEqual(f, ended.Sub(begun), 27*time.Second)
	require.LessOrEqual(f, f.m.Report().Took, 27*time.Second)
	require.False(f, ok)
	require.Empty(f, f.m.Report().Pending)
	require.Empty(f, late)
	for i, n := range f.runs {
		want := 1
		if *f.removed[i] {
			want = 0
		}
		require.Equal(f, want, *n, "hook %d", i)
	}
}

// step does what the high half of b says, in the way its low half says.
func (f *fuzzed) step(b byte) {
	how := b & 0x0f
	switch b >> 4 {
	case 0, 1, 2, 3, 4:
		f.hook(shutdown.Phase(1+how%3), b)
	case 5, 6:
		done, _ := f.m.Track("task")
		f.dones = append(f.dones, done)
	case 7:
		if len(f.dones) > 0 {
			f.dones[int(how)%len(f.dones)]()
		}
	case 8:
		time.Sleep(time.Duration(how) * 40 * time.Millisecond)
	case 9:
		time.Sleep(time.Duration(how) * time.Second)
	case 10:
		f.m.Begin(nil)
	case 11:
		f.m.Force(errors.New("forced"))
	case 12:
		f.m.Signal(os.Interrupt)
	case 13:
		f.m.Signal(syscall.SIGTERM)
	case 14:
		f.m.Go("worker", func(ctx context.Context) error { return f.behave(ctx, how) })
	case 15:
		if n := len(f.removes); n > 0 {
			i := int(how) % n
			*f.removed[i] = f.removes[i]() || *f.removed[i]
		}
	}
}

func (f *fuzzed) hook(p shutdown.Phase, how byte) {
	n := new(int)
	f.runs, f.removed = append(f.runs, n), append(f.removed, new(bool))
	f.removes = append(f.removes, f.m.On(p, "hook", func(ctx context.Context) error {
		*n++
		return f.behave(ctx, how>>2)
	}))
}

// behave is the body of a hook or a worker.
func (f *fuzzed) behave(ctx context.Context, how byte) error {
	switch how % 9 {
	case 1:
		return errors.New("failed")
	case 2:
		<-f.release
	case 3:
		<-ctx.Done()
	case 4:
		panic("panicked")
	case 5:
		runtime.Goexit()
	case 6:
		time.Sleep(time.Second)
	case 7:
		done, _ := f.m.Track("nested")
		defer done()
		f.m.Begin(nil)
		f.m.On(shutdown.Close, "nested", func(context.Context) error { return nil })
	case 8:
		f.m.Force(nil)
	}
	return nil
}
