package shutdown

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/signame"
)

// A Finding is something in how the program was started or configured that
// keeps a signal from arriving, or the shutdown from ending in time.
type Finding struct {
	Problem string // "PID 1 is /bin/sh ./start.sh, which does not pass SIGTERM on"
	Remedy  string // "end the script with `exec ./app`, or use the exec form of CMD"
}

// Diagnose returns what is wrong with how the program was started and
// configured, worst first; nil is the good case. It is what New found and
// logged as warnings:
//
//   - On Linux: a shell or a runner such as go run is PID 1, or stands between
//     an init and this program, and does not pass SIGTERM on; or not while it
//     runs another command, after which it may set a trap.
//   - A signal in Config.Signals was ignored when the program started, and so
//     stays ignored.
//   - On Linux: the program is PID 1 and was given a child, by a script that
//     began it and then became this program with exec.
//   - Config.Timeout leaves next to nothing of the grace period.
//
// To that it adds what it sees now: if the program is PID 1, a child that has
// ended and that nobody has waited for. It looks twice then, 200 ms apart; else it
// returns at once. One that is there from the beginning of a shutdown to its
// end is logged, too.
//
// Only what is certain is found. A shell that has a handler for SIGTERM is
// trusted to do something with it. So is a program that Diagnose does not know:
// systemd, a supervisor, a terminal, a CI runner, go test. Where Config.Signals
// has no SIGTERM, nobody asks who passes it on; where /proc cannot be read,
// nothing is found.
func (m *Manager) Diagnose() []Finding {
	findings := slices.Clone(m.findings)
	if child := m.env.unreaped(); child != nil {
		time.Sleep(reapTime)
		if f, ok := m.env.stillUnreaped(child); ok {
			findings = append(findings, f)
		}
	}
	return findings
}

// reapTime is what a program needs that waits for its children, at the most, also
// on a machine that is busy.
const reapTime = 200 * time.Millisecond

// watchUnreaped looks when the shutdown begins; warn looks at its end.
func (m *Manager) watchUnreaped() (warn func()) {
	child, looked := m.env.unreaped(), time.Now()
	return func() {
		if child == nil || time.Since(looked) < reapTime {
			return
		}
		if f, ok := m.env.stillUnreaped(child); ok {
			m.log.warn("shutdown: " + f.String())
		}
	}
}

// String is the Finding as New logs it.
func (f Finding) String() string { return f.Problem + ": " + f.Remedy }

// diagnose is New's look. What it finds is not wrong by a guess: a warning that
// is not true, in the log of every start, is worse than none.
func (m *Manager) diagnose() {
	if m.signals[syscall.SIGTERM] != nil {
		m.find(m.env.whoSwallowsTerm())
	}
	for _, sig := range m.ignoredSignals() {
		m.find(Finding{
			Problem: signame.Name(sig) + " was ignored when the program started, and stays ignored",
			Remedy:  "start it without nohup and trap '', and not in the background of a script; or take the signal out of Config.Signals",
		}, true)
	}
	if len(m.signals) > 0 {
		m.find(m.env.givenChild())
	}
	m.find(m.budget.margin())
	for _, f := range m.findings {
		m.log.warn("shutdown: " + f.String())
	}
}

func (m *Manager) find(f Finding, ok bool) {
	if ok {
		m.findings = append(m.findings, f)
	}
}

// ignoredSignals are those of the table that never come. A shell without job
// control lets whatever it starts in the background ignore SIGINT, because
// Ctrl-C is not meant for it. Where SIGTERM is in the table that costs nothing,
// and scripts that do it right would be accused (./app & trap ... TERM; wait).
func (m *Manager) ignoredSignals() (ignored []os.Signal) {
	for sig := range m.signals {
		if sig == os.Interrupt && m.signals[syscall.SIGTERM] != nil {
			continue
		}
		if m.env.signals.ignored(sig) {
			ignored = append(ignored, sig)
		}
	}
	slices.SortFunc(ignored, func(a, b os.Signal) int { return strings.Compare(signame.Name(a), signame.Name(b)) })
	return ignored
}

// margin tells if next to nothing is left between Timeout and the kill: the
// last log line, the rest of main and the exit take their time too. A Timeout
// that nobody chose leaves a tenth of the grace period.
func (b budget) margin() (Finding, bool) {
	left := b.grace - b.timeout
	switch {
	case left >= min(time.Second, b.grace/20):
		return Finding{}, false
	case b.guessed && left <= 0:
		return Finding{
			Problem: fmt.Sprintf("Config.Timeout: %v is not shorter than the grace period of %v, which is guessed (%s)", b.timeout, b.grace, b.source),
			Remedy:  "set " + envGracePeriod + " to what the platform grants",
		}, true
	default:
		return Finding{
			Problem: fmt.Sprintf("Config.Timeout: %v leaves %v of the grace period of %v (%s)", b.timeout, left, b.grace, b.source),
			Remedy:  fmt.Sprintf("leave it 0, which is %v here, or set %s to what the platform grants", defaultTimeout(b.grace), envGracePeriod),
		}, true
	}
}
