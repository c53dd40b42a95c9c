package admin_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

var screenshots = flag.String("screenshots", "", "folder for the screenshots of the README; taking them takes half a minute")

// The browser shows the page in each phase of a shutdown.
func TestTheStatusPageInABrowser(t *testing.T) {
	script, gateway, grace, lameDuck := "<script>alert(1)</script>", "gateway <script>alert(2)</script>", "3600", time.Second
	if *screenshots != "" {
		script, gateway, grace, lameDuck = "GET /orders", "gateway", "30", 5*time.Second
	}
	pause := func(d time.Duration) { // screenshots should show times other than 0
		if *screenshots != "" {
			time.Sleep(d)
		}
	}
	b := newBrowser(t)
	args := os.Args[0]
	os.Args[0] = "/app/orders"
	defer func() { os.Args[0] = args }()
	admin.SetHostname("orders-6f7c9d-x2x8k")
	t.Setenv("SHUTDOWN_GRACE_PERIOD", grace)
	m := manager(t, shutdown.Config{LameDuck: lameDuck})
	leave, drain, closing, last := newGate(), newGate(), newGate(), newGate()
	url := serve(t, m, admin.Options{Debug: true}) + "/debug/shutdown"
	load := func(phase string) {
		t.Helper()
		require.Empty(t, b.open(url), phase)
		require.Equal(t, phase, b.text("h1"))
		require.Equal(t, "rgb(244, 245, 247)", b.eval("getComputedStyle(document.body).backgroundColor"), "the style is applied")
		require.EqualValues(t, 0, b.eval("document.scripts.length"))
		require.Equal(t, false, b.eval("document.documentElement.scrollWidth > innerWidth"), "scrolls sideways")
	}
	shoot := func(name string) {
		t.Helper()
		if *screenshots != "" {
			small := compress(t, b.screenshot())
			require.Less(t, len(small), 150_000)
			require.NoError(t, os.WriteFile(filepath.Join(*screenshots, name), small, 0o644))
		}
	}
	b.window(1080, 800, 1, false)
	load("Starting")
	require.Contains(t, b.text("#state"), "Wait has not been called")

	m.On(shutdown.Close, "traces", last.hook)
	m.On(shutdown.Close, "postgres", closing.hook)
	m.On(shutdown.Close, "kafka producer", func(context.Context) error {
		pause(1200 * time.Millisecond)
		return errors.New("flush: 3 messages not sent\nbroker 2: connection refused")
	})
	m.On(shutdown.Drain, "http :8080", drain.hook)
	m.On(shutdown.Leave, "consul orders", leave.hook)
	m.On(shutdown.Leave, gateway, func(context.Context) error { return nil })
	consume, _ := m.Track("consumer invoices")
	pause(3 * time.Second)
	order, _ := m.Track("POST /orders/{id}")
	scripted, _ := m.Track(script)
	ended := wait(t, m)
	pause(time.Second)
	load("Ready")
	require.Regexp(t, `(?s)Leave.*consul orders.*up to .*Drain.*http :8080.*up to .*Close.*kafka producer.*at least .*postgres.*at least 500 ms.*traces.*at least 500 ms`, b.text("#budget"))
	require.Contains(t, b.text("#tasks"), "In flight 3")
	require.Contains(t, b.text("#tasks"), script)
	require.Contains(t, b.text("#budget"), gateway)
	require.Contains(t, b.text("#facts"), "SHUTDOWN_GRACE_PERIOD")
	shoot("debug-running.png")

	m.Signal(os.Interrupt)
	within(t, "Leave", leave.entered)
	pause(400 * time.Millisecond)
	load("Leaving")
	require.Contains(t, b.text("#state"), "Cause: signal SIGINT")
	require.Contains(t, b.text("#state"), "until SIGKILL")
	require.Equal(t, "1", b.eval("document.querySelector('meta[http-equiv=refresh]').content"))
	b.event("Page.loadEventFired") // the page reloads itself
	close(leave.open)
	scripted()

	eventually(t, "Drain", func() bool { return m.Phase() == shutdown.Drain })
	within(t, "Drain", drain.entered)
	pause(4 * time.Second)
	load("Draining")
	require.Contains(t, b.text("#tasks"), "POST /orders/{id}")
	require.NotContains(t, b.text("#tasks"), script)
	require.Regexp(t, `http :8080\s+[\d.]+ m?s of `, b.text("#budget"))
	shoot("debug-draining.png")
	b.window(390, 844, 1.5, true)
	require.Empty(t, b.open(url))
	require.Equal(t, "rgb(15, 18, 24)", b.eval("getComputedStyle(document.body).backgroundColor"))
	require.Equal(t, false, b.eval("document.documentElement.scrollWidth > innerWidth"), "scrolls sideways on a phone")
	shoot("debug-phone-dark.png")
	b.window(1080, 800, 1, false)
	close(drain.open)
	consume()
	pause(2 * time.Second)
	order()

	within(t, "Close", closing.entered)
	load("Closing")
	require.Contains(t, b.text("#tasks"), "Nothing was in flight when Drain ended.")
	require.Regexp(t, `kafka producer(?s).*flush: 3 messages not sent`, b.text("#budget"))
	require.NotContains(t, b.text("#budget"), "connection refused", "the details have it")
	require.Contains(t, b.eval("document.querySelector('details').textContent"), "connection refused")
	pause(1500 * time.Millisecond)
	close(closing.open)
	within(t, "the last hook", last.entered)
	pause(300 * time.Millisecond)
	close(last.open)

	require.Error(t, within(t, "the end", ended))
	load("Finished with errors")
	require.Nil(t, b.eval("document.querySelector('meta[http-equiv=refresh]')?.content"), "the final page does not reload")
	shoot("debug-done.png")

	forced := manager(t, shutdown.Config{})
	url = serve(t, forced, admin.Options{Debug: true}) + "/debug/shutdown"
	for _, name := range []string{"GET /events", "GET /events", script, "GET /" + strings.Repeat("x", 400)} {
		_, ok := forced.Track(name)
		require.True(t, ok)
	}
	forced.On(shutdown.Close, "traces", shutdown.BestEffort(time.Second, func(context.Context) error { return errors.New("refused") }))
	forced.Force(nil)
	require.Error(t, forced.Wait())
	for _, width := range []int{1080, 390} {
		b.window(width, 800, 1, false)
		load("Forced")
		require.Contains(t, b.text("#state"), "4 tasks were cut off.")
		require.Regexp(t, `^Cut off 4\s(?s).*2 x GET /events \(oldest [\d.]+ .?s\)`, b.text("#cut-off"))
		require.Contains(t, b.text("#cut-off"), script)
		require.Contains(t, b.text("#budget"), "failed (best effort)")
	}
}

// compress reduces a screenshot to 256 colours, which makes its file half as large.
func compress(t *testing.T, picture []byte) []byte {
	from, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	count := map[color.Color]int{}
	for y := range from.Bounds().Dy() {
		for x := range from.Bounds().Dx() {
			count[from.At(x, y)]++
		}
	}
	palette := color.Palette(slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] }))
	to := image.NewPaletted(from.Bounds(), palette[:min(256, len(palette))])
	draw.Draw(to, to.Bounds(), from, image.Point{}, draw.Src)
	var out bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to))
	return out.Bytes()
}
