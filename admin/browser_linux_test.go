package admin_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

var screenshots = flag.String("screenshots", "", "take the pictures for the README, and put them into this folder; takes half a minute")

// The page in a browser, in each phase of a shutdown.
func TestTheStatusPageInABrowser(t *testing.T) {
	const script = "<script>alert(1)</script>"
	pause := func(d time.Duration) { // pictures look better with time in them
		if *screenshots != "" {
			time.Sleep(d)
		}
	}
	b := newBrowser(t)
	args := os.Args[0]
	os.Args[0] = "/app/orders"
	defer func() { os.Args[0] = args }()
	admin.SetHostname("orders-6f7c9d-x2x8k")
	t.Setenv("SHUTDOWN_GRACE_PERIOD", "30")
	m := manager(t, shutdown.Config{LameDuck: 5 * time.Second})
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
		picture := b.picture()
		require.Less(t, len(picture), 150_000)
		if *screenshots != "" {
			require.NoError(t, os.WriteFile(filepath.Join(*screenshots, name), picture, 0o644))
		}
	}
	b.window(1080, 800, 1, false)
	load("Starting")
	require.Contains(t, b.text("#state"), "nobody has called Wait")

	m.On(shutdown.Close, "traces", last.hook)
	m.On(shutdown.Close, "postgres", closing.hook)
	m.On(shutdown.Close, "kafka producer", func(context.Context) error {
		pause(1200 * time.Millisecond)
		return errors.New("flush: 3 messages left:\nbroker 2: connection refused")
	})
	m.On(shutdown.Drain, "http :8080", drain.hook)
	m.On(shutdown.Leave, "consul orders-6f7c9d-x2x8k", leave.hook)
	m.On(shutdown.Leave, script+" hook", func(context.Context) error { return nil })
	consume, _ := m.Track("consumer invoices")
	pause(3 * time.Second)
	order, _ := m.Track("POST /orders/{id}")
	scripted, _ := m.Track(script)
	ended := wait(t, m)
	pause(time.Second)
	load("Ready")
	require.Regexp(t, `(?s)Leave.*consul orders-6f7c9d-x2x8k.*up to 10.8 s.*Drain.*http :8080.*up to 16.6 s.*Close.*kafka producer.*at least 4.4 s.*postgres.*at least 500 ms.*traces.*at least 500 ms`, b.text("#budget"))
	require.Contains(t, b.text("#tasks"), "In flight 3")
	require.Contains(t, b.text("#tasks"), script)
	require.Contains(t, b.text("#budget"), script+" hook")
	require.Contains(t, b.text("#facts"), "SHUTDOWN_GRACE_PERIOD")
	b.eval("document.body.innerHTML = document.body.innerHTML.replaceAll(/&lt;script.*?script&gt; ?/g, 'gateway ')")
	shoot("debug-running.png")

	m.Signal(os.Interrupt)
	within(t, "Leave", leave.entered)
	pause(400 * time.Millisecond)
	load("Leaving")
	require.Contains(t, b.text("#state"), "Cause: signal SIGINT")
	require.Contains(t, b.text("#state"), "until SIGKILL")
	require.Equal(t, "1", b.eval("document.querySelector('meta[http-equiv=refresh]').content"))
	close(leave.open)
	scripted()

	eventually(t, "Drain", func() bool { return m.Phase() == shutdown.Drain })
	within(t, "Drain", drain.entered)
	pause(4 * time.Second)
	load("Draining")
	require.Contains(t, b.text("#tasks"), "POST /orders/{id}")
	require.NotContains(t, b.text("#tasks"), script)
	require.Regexp(t, `of 16.6 s`, b.text("#budget"))
	shoot("debug-draining.png")
	b.window(390, 844, 2, true)
	require.Empty(t, b.open(url))
	require.Equal(t, "rgb(15, 18, 24)", b.eval("getComputedStyle(document.body).backgroundColor"))
	require.Equal(t, false, b.eval("document.documentElement.scrollWidth > innerWidth"), "scrolls sideways on a phone")
	shoot("debug-phone.png")
	b.window(1080, 800, 1, false)
	close(drain.open)
	consume()
	pause(2 * time.Second)
	order()

	within(t, "Close", closing.entered)
	load("Closing")
	require.Contains(t, b.text("#tasks"), "Nothing was left when Drain ended.")
	require.Regexp(t, `kafka producer(?s).*flush: 3 messages left`, b.text("#budget"))
	require.NotContains(t, b.text("#budget"), "connection refused", "is in the details")
	require.Contains(t, b.eval("document.querySelector('details').textContent"), "connection refused")
	pause(1500 * time.Millisecond)
	close(closing.open)
	within(t, "the last hook", last.entered)
	pause(300 * time.Millisecond)
	close(last.open)

	require.Error(t, within(t, "the end", ended))
	load("Finished with errors")
	require.Nil(t, b.eval("document.querySelector('meta[http-equiv=refresh]')?.content"), "the last page stays")
	shoot("debug-done.png")
}
