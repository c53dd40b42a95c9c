package progress

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

func TestAFileGetsALineEveryFewSecondsAndATerminalEach(t *testing.T) {
	for terminal, want := range map[bool]string{
		false: "two\n",
		true:  "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kthree\r\x1b[K",
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "out"))
		require.NoError(t, err)
		defer f.Close()
		l := New(f)
		require.False(t, l.terminal)
		l.terminal = terminal
		l.Show("one")
		l.last = time.Now().Add(-every)
		l.Show("two")
		l.Show("three")
		l.End()
		text, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}

func TestNilShowsNothing(t *testing.T) {
	l := New(nil)
	l.Show("text")
	l.End()
}
