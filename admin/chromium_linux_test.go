package admin_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A browser is a headless Chromium that is controlled over a pair of pipes
// (--remote-debugging-pipe: JSON messages, each followed by a zero byte).
type browser struct {
	t       *testing.T
	to      *os.File
	session string // of the only tab
	events  chan message
	next    int

	mu      sync.Mutex // protects replies
	replies map[int]chan message
}

type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

// newBrowser starts a browser. Where none is installed it skips the test, but fails it
// in CI.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" && os.Getuid() == 0 {
			require.NoError(t, err, "apt-get install chromium")
		}
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	theirIn, ourOut, err := os.Pipe()
	require.NoError(t, err)
	ourIn, theirOut, err := os.Pipe()
	require.NoError(t, err)
	// Not t.TempDir: it fails the test if a helper process that is being killed creates a
	// file while the folder is removed.
	dir, err := os.MkdirTemp("", "chromium")
	require.NoError(t, err)
	t.Cleanup(func() {
		eventually(t, "the browser's folder is removed", func() bool { return os.RemoveAll(dir) == nil })
	})
	// As root Chromium has no sandbox. It loads only pages of this test.
	cmd := exec.Command(path, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--user-data-dir="+dir)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, to: ourOut, events: make(chan message, 10_000), replies: map[int]chan message{}}
	var reading sync.WaitGroup
	reading.Go(func() { b.read(ourIn) })
	t.Cleanup(func() {
		ourOut.Close() // then it exits
		timer := time.AfterFunc(soon, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait() // its exit status does not matter
		timer.Stop()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // helper processes that are left would write to the folder
		ourIn.Close()
		reading.Wait()
	})

	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func (b *browser) read(from *os.File) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		reply := b.replies[m.ID]
		delete(b.replies, m.ID)
		b.mu.Unlock()
		if reply != nil {
			reply <- m
		} else if m.Method != "" {
			select {
			case b.events <- m:
			default: // no test reads them any more
			}
		}
	}
}

// call sends a command and waits for its result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	m := b.try(method, params)
	require.Empty(b.t, string(m.Error), method)
	if result != nil {
		require.NoError(b.t, json.Unmarshal(m.Result, result))
	}
}

// try sends a command that may fail and waits for its result.
func (b *browser) try(method string, params any) message {
	b.t.Helper()
	b.next++
	text, err := json.Marshal(params)
	require.NoError(b.t, err)
	command, err := json.Marshal(message{ID: b.next, SessionID: b.session, Method: method, Params: text})
	require.NoError(b.t, err)
	reply := make(chan message, 1)
	b.mu.Lock()
	b.replies[b.next] = reply
	b.mu.Unlock()
	_, err = b.to.Write(append(command, 0))
	require.NoError(b.t, err)
	return within(b.t, method, reply)
}

// open loads url and returns the problems that the browser reported meanwhile: requests
// for anything but url, resources that it refused to load, and scripts.
func (b *browser) open(url string) (complaints []string) {
	b.t.Helper()
	for len(b.events) > 0 { // events of the previous page
		<-b.events
	}
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	for {
		switch e := within(b.t, "the page", b.events); e.Method {
		case "Page.loadEventFired":
			return complaints
		case "Network.requestWillBeSent":
			var p struct {
				DocumentURL string
				Request     struct{ URL string }
			}
			require.NoError(b.t, json.Unmarshal(e.Params, &p))
			if p.Request.URL != url {
				complaints = append(complaints, "fetches "+p.Request.URL)
			}
		case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening":
			complaints = append(complaints, fmt.Sprintf("%s %s", e.Method, e.Params))
		}
	}
}

// event waits for an event.
func (b *browser) event(method string) {
	b.t.Helper()
	for within(b.t, method, b.events).Method != method {
	}
}

// eval returns the value of an expression in the page. It tries again while the page
// reloads, which it does once a second.
func (b *browser) eval(expression string) (value any) {
	b.t.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var r struct {
			Result           struct{ Value []any }
			ExceptionDetails json.RawMessage
		}
		m := b.try("Runtime.evaluate", map[string]any{"expression": "document.readyState == 'complete' ? [" + expression + "] : []", "returnByValue": true})
		if len(m.Error) == 0 {
			require.NoError(b.t, json.Unmarshal(m.Result, &r))
			require.Empty(b.t, string(r.ExceptionDetails), expression)
		}
		if len(r.Result.Value) > 0 {
			return r.Result.Value[0]
		}
		require.Less(b.t, time.Since(start), soon, "%s: %s", expression, m.Error)
	}
}

// text returns the visible text of an element.
func (b *browser) text(selector string) string {
	b.t.Helper()
	value, _ := b.eval(fmt.Sprintf("document.querySelector(%q)?.innerText", selector)).(string)
	return value
}

func (b *browser) window(width, height int, scale float64, dark bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}, nil)
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// screenshot returns the whole page as a PNG.
func (b *browser) screenshot() []byte {
	b.t.Helper()
	var r struct{ Data string }
	height := b.eval("document.documentElement.scrollHeight")
	width := b.eval("innerWidth")
	b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}, &r)
	png, err := base64.StdEncoding.DecodeString(r.Data)
	require.NoError(b.t, err)
	return png
}
