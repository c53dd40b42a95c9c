package postmortem_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/postmortem"
)

// A pod keeps a termination message. Its messages begin with "shutdown: ".
type pod struct {
	*postmortem.Termination

	mu       sync.Mutex // protects what follows
	message  string
	last     bool
	warnings int
}

func newPod(path string) *pod {
	p := &pod{}
	p.Termination = postmortem.NewTermination(postmortem.Env{TerminationLog: path}, func() (string, bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.message, p.last
	}, "shutdown: ", func(string, ...any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.warnings++
	})
	return p
}

// say writes a message, and waits for it.
func (p *pod) say(t *testing.T, message string, last bool) {
	t.Helper()
	p.mu.Lock()
	p.message, p.last = message, last
	p.mu.Unlock()
	p.Touch()
	const patience = 30 * time.Second
	for began := time.Now(); p.Saving(); time.Sleep(time.Millisecond) {
		require.Less(t, time.Since(began), patience)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// inPod runs do with the termination log that a kubelet has made, with this content.
func inPod(t *testing.T, content string, do func(t *testing.T, p *pod, path string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "termination-log")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	synctest.Test(t, func(t *testing.T) { do(t, newPod(path), path) })
}

func TestTheMessageIsReplacedByEachThatFollows(t *testing.T) {
	inPod(t, "", func(t *testing.T, p *pod, path string) {
		require.Equal(t, path, p.Path)
		require.Empty(t, read(t, path), "before the first one it is the program's own")
		for _, message := range []string{"shutdown: in drain, waiting for much", "shutdown: in close", "shutdown: in close, too long", ""} {
			p.say(t, message, false)
			require.Equal(t, message, read(t, path))
		}
		p.say(t, "shutdown: finished", true)
		p.say(t, "shutdown: and more", false)
		require.Equal(t, "shutdown: finished", read(t, path), "that was the last")
	})
}

// The file is a mount, and cannot be replaced.
func TestTheMessageIsWrittenInPlace(t *testing.T) {
	inPod(t, "", func(t *testing.T, p *pod, path string) {
		before, err := os.Stat(path)
		require.NoError(t, err)
		p.say(t, "shutdown: in drain", true)
		after, err := os.Stat(path)
		require.NoError(t, err)
		require.True(t, os.SameFile(before, after))
	})
}

func TestAMessageOfTheProgramsOwnStays(t *testing.T) {
	const message = "no licence"
	t.Run("from before", func(t *testing.T) {
		inPod(t, message, func(t *testing.T, p *pod, path string) {
			p.say(t, "shutdown: in close", false)
			require.Equal(t, message, read(t, path))
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			p.say(t, "shutdown: finished", true)
			require.Empty(t, read(t, path), "the program has taken it over")
		})
	})
	t.Run("written meanwhile", func(t *testing.T) {
		inPod(t, "", func(t *testing.T, p *pod, path string) {
			p.say(t, "shutdown: in close", false)
			require.NotEmpty(t, read(t, path))
			require.NoError(t, os.WriteFile(path, []byte(message), 0o600))
			p.say(t, "shutdown: finished", true)
			require.Equal(t, message, read(t, path))
		})
	})
	t.Run("appended", func(t *testing.T) {
		inPod(t, "", func(t *testing.T, p *pod, path string) {
			p.say(t, "shutdown: in close", false)
			require.NoError(t, os.WriteFile(path, []byte(read(t, path)+message), 0o600))
			p.say(t, "shutdown: finished", true)
			require.Contains(t, read(t, path), message)
		})
	})
}

func TestWhatARunBeforeLeftInTheSameContainerIsReplaced(t *testing.T) {
	inPod(t, "shutdown: in drain, 22s after signal SIGTERM\n"+strings.Repeat("x", 2000), func(t *testing.T, p *pod, path string) {
		p.say(t, "shutdown: finished", true)
		require.Equal(t, "shutdown: finished", read(t, path))
	})
}

func TestAMessageMayBeAsLongAsKubernetesShows(t *testing.T) {
	inPod(t, "", func(t *testing.T, p *pod, path string) {
		for _, length := range []int{postmortem.MaxTermination, 100, postmortem.MaxTermination} {
			message := "shutdown: " + strings.Repeat("x", length-len("shutdown: "))
			p.say(t, message, false)
			require.Equal(t, message, read(t, path))
		}
		p.say(t, "shutdown: finished", true)
	})
}

func TestWithoutATerminationLogThereIsNone(t *testing.T) {
	for name, path := range map[string]string{
		"missing":     filepath.Join(t.TempDir(), "termination-log"),
		"a directory": t.TempDir(),
		"read-only":   "/proc/version",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(path)
				p.say(t, "shutdown: in close", false)
				p.say(t, "shutdown: finished", true)
				require.True(t, p.Flush(time.Now().Add(time.Minute)))
				require.Zero(t, p.warnings)
			})
			if name == "missing" {
				require.NoFileExists(t, path)
			}
		})
	}
}

// A symbolic link may lead to a file that matters.
func TestALinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	data, path := filepath.Join(dir, "data"), filepath.Join(dir, "termination-log")
	require.NoError(t, os.WriteFile(data, nil, 0o600))
	require.NoError(t, os.Symlink(data, path))
	p := newPod(path)
	p.say(t, "shutdown: finished", true)
	require.Empty(t, read(t, data))
}
