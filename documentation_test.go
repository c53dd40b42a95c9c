package shutdown_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// consume and importRows are in the package documentation too.

func consume(ctx context.Context) error {
	m, _ := shutdown.FromContext(ctx)
	for {
		msg, err := queue.Fetch(ctx) // nothing new once the shutdown has begun
		if err != nil {
			return err // context.Canceled is a success then
		}
		if err := handle(m.WorkContext(), msg); err != nil {
			return fmt.Errorf("message %s: %w", msg, err)
		}
	}
}

func importRows(ctx context.Context) error {
	for i, row := range rows {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped at row %d: %w", i, context.Cause(ctx)) // says by which signal
		}
		if err := insert(row); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return nil
}

// A broker has a message every second.
type broker struct{ next int }

func (b *broker) Fetch(ctx context.Context) (string, error) {
	select {
	case <-time.After(time.Second):
		b.next++
		return fmt.Sprint(b.next), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

var (
	queue   broker
	handles time.Duration // how long a message takes
	rows    [10]string
)

func handle(ctx context.Context, _ string) error {
	select {
	case <-time.After(handles):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func insert(string) error { time.Sleep(time.Second); return nil }

func TestTheWorkerAndTheJobInTheDocumentationBehaveAsDescribed(t *testing.T) {
	for name, test := range map[string]struct {
		handles, stop time.Duration
		start         func(m *shutdown.Manager)
		text          []string // of Wait's error; none is success
	}{
		"a message that is finished": {10 * time.Second, 3 * time.Second, func(m *shutdown.Manager) { m.Go("consumer", consume) }, nil},
		"a message that is given up": {
			time.Hour, 3 * time.Second, func(m *shutdown.Manager) { m.Go("consumer", consume) },
			[]string{`worker "consumer": message 1: context canceled`, "1 task cut off: consumer"},
		},
		"no message":         {time.Millisecond, 3500 * time.Millisecond, func(m *shutdown.Manager) { m.Go("consumer", consume) }, nil},
		"a job that is done": {0, time.Hour, func(m *shutdown.Manager) { m.Job("import", importRows) }, nil},
		"a job that is told to stop": {
			0, 3500 * time.Millisecond, func(m *shutdown.Manager) { m.Job("import", importRows) },
			[]string{`job "import": did not finish: stopped at row 4: signal SIGINT`},
		},
		"the same as a worker": {0, 3500 * time.Millisecond, func(m *shutdown.Manager) { m.Go("import", importRows) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, log := newManager(t, shutdown.Config{})
				queue, handles = broker{}, test.handles
				test.start(m)
				stop := time.AfterFunc(test.stop, func() { m.Signal(os.Interrupt) })
				err := m.Wait()
				stop.Stop()
				if test.text == nil {
					require.NoError(t, err)
				} else {
					require.Equal(t, 1, shutdown.ExitCode(err))
				}
				for _, text := range test.text {
					require.ErrorContains(t, err, text)
				}
				if name == "the same as a worker" {
					require.Contains(t, log.String(), "stopped at row 4", "its exit code is 0, but it is logged")
				}
			})
		})
	}
}

func TestTheCodeInTheDocumentationIsTheTestedCode(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var text strings.Builder // of the documentation, without its comment signs
	for line := range strings.Lines(string(doc)) {
		line, _ = strings.CutPrefix(strings.TrimPrefix(line, "//"), "\t")
		text.WriteString(line)
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "documentation_test.go", nil, parser.ParseComments)
	require.NoError(t, err)
	found := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "consume" && f.Name.Name != "importRows" {
			continue
		}
		var code strings.Builder
		require.NoError(t, format.Node(&code, files, &ast.File{Name: file.Name, Decls: []ast.Decl{f}, Comments: file.Comments}))
		_, body, _ := strings.Cut(code.String(), "func ")
		body, _, _ = strings.Cut("func "+body, "\n}\n")
		require.Contains(t, text.String(), body+"\n}")
		found++
	}
	require.Equal(t, 2, found)
}

// The minimal example compiles, and so does the program in the README.
func TestTheProgramInTheReadmeIsTheMinimalExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	program, _, ok := strings.Cut(rest, "```\n")
	require.True(t, ok)
	example, err := os.ReadFile("examples/minimal/main.go")
	require.NoError(t, err)
	require.Contains(t, string(example), program)
}

// The documentation says how each figure can be repeated.
func TestTheTestsAndBenchmarksThatTheDocumentationNamesExist(t *testing.T) {
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		}
		return err
	}))
	command := regexp.MustCompile(`-(run|bench) '?([A-Za-z|]+)`)
	for _, page := range []string{"README.md", "docs/design.md", "docs/measurements.md", "docs/otel.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			kind := map[string]string{"run": "Test", "bench": "Benchmark"}[m[1]]
			for name := range strings.SplitSeq(m[2], "|") {
				require.Regexp(t, "func "+kind+"[A-Za-z]*"+strings.TrimPrefix(name, kind), code.String(), "%s: %s", page, m[0])
			}
		}
	}
}
