// Package grace finds out how much time the platform grants to a process that it
// stops, and divides it. It is a function of the environment, the configuration and
// whether the process serves: it measures no time and starts nothing.
package grace

import (
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A Config has the fields of shutdown.Config that say how much time there is.
type Config struct {
	GracePeriod, Timeout, LameDuck, Reserve time.Duration
}

// A Budget is how much time there is, and how it is divided.
type Budget struct {
	Grace    time.Duration
	Source   string // where Grace comes from
	Timeout  time.Duration
	Reserve  time.Duration
	Warnings []string // what did not fit and was changed: nothing here keeps a service from starting

	lameDuck time.Duration
	// ifServing is set where nobody chose lameDuck: it applies only if there is
	// something that serves.
	ifServing bool
}

// LameDuck is how long a service goes on serving after it was told to stop.
func (b Budget) LameDuck(serves bool) time.Duration {
	if b.ifServing && !serves {
		return 0
	}
	return b.lameDuck
}

// A grace period that nobody told us has a Source that begins so.
const (
	guessed         = "guessed: "
	guessedTerminal = guessed + "a terminal"
)

// Guessed reports whether source is of a platform's default, which nobody told us.
func Guessed(source string) bool { return strings.HasPrefix(source, guessed) }

// MayBeWrong reports whether source is a guess about when a platform kills. At a
// terminal nothing kills.
func MayBeWrong(source string) bool { return Guessed(source) && source != guessedTerminal }

// New divides the time. Its error is about cfg alone, and names the field, the value
// and the limit: only values that were set in the program can contradict each other.
// What the environment says is made to fit, with a warning.
func New(cfg Config, e Env) (Budget, error) {
	if err := cfg.check(); err != nil {
		return Budget{}, err
	}
	var b Budget
	b.divide(cfg, e)
	b.checkMargin()
	return b, nil
}

func (b *Budget) divide(cfg Config, e Env) {
	b.findGrace(cfg, e)
	preStop := b.takePreStop(e)

	b.Timeout = cfg.Timeout
	switch {
	case b.Timeout == 0:
		b.Timeout = defaultTimeout(b.Grace)
	case b.Timeout >= b.Grace && !Guessed(b.Source): // checkMargin is about a guess
		b.Timeout = defaultTimeout(b.Grace)
		b.warnf("Config.Timeout: %v is not shorter than the grace period of %v (%s): using %v", cfg.Timeout, b.Grace, b.Source, b.Timeout)
	}

	b.Reserve = cfg.Reserve
	if b.Reserve == 0 {
		b.Reserve = b.Timeout / 5
	}
	if b.Reserve >= b.Timeout {
		b.Reserve = b.Timeout / 5
		b.warnf("Config.Reserve: %v is not shorter than the timeout of %v: using %v", cfg.Reserve, b.Timeout, b.Reserve)
	}

	b.findLameDuck(cfg, e)
	// During a preStop hook the instance serves and is leaving, too.
	b.lameDuck = max(0, b.lameDuck-preStop)
	if b.lameDuck+b.Reserve < b.Timeout {
		return
	}
	if cfg.Reserve == 0 && b.lameDuck < b.Timeout {
		b.Reserve = (b.Timeout - b.lameDuck) / 2
		return
	}
	asked := b.lameDuck
	b.lameDuck = (b.Timeout - b.Reserve) / 2
	b.warnf("lame duck: %v does not fit into the timeout of %v less the reserve of %v: using %v", asked, b.Timeout, b.Reserve, b.lameDuck)
}

// defaultTimeout leaves a tenth, at most 5 s, between the end and the kill.
func defaultTimeout(grace time.Duration) time.Duration {
	return grace - min(grace/10, 5*time.Second)
}

func (c Config) check() error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"GracePeriod", c.GracePeriod}, {"Timeout", c.Timeout}, {"Reserve", c.Reserve}} {
		if f.value < 0 {
			return fmt.Errorf("shutdown: Config.%s: %v is negative", f.name, f.value)
		}
	}
	timeout, what := c.Timeout, "Timeout"
	if c.GracePeriod > 0 {
		if c.Timeout >= c.GracePeriod {
			return fmt.Errorf("shutdown: Config.Timeout: %v is not shorter than GracePeriod, %v", c.Timeout, c.GracePeriod)
		}
		if timeout == 0 {
			timeout, what = defaultTimeout(c.GracePeriod), "the Timeout that follows from GracePeriod"
		}
	}
	if timeout == 0 {
		return nil
	}
	if c.Reserve >= timeout {
		return fmt.Errorf("shutdown: Config.Reserve: %v is not shorter than %s, %v", c.Reserve, what, timeout)
	}
	if c.LameDuck > 0 && c.LameDuck+c.Reserve >= timeout {
		return fmt.Errorf("shutdown: Config.LameDuck: %v is not shorter than %s less Reserve, %v", c.LameDuck, what, timeout-c.Reserve)
	}
	return nil
}

func (b *Budget) findGrace(cfg Config, e Env) {
	if d, ok := b.duration(e, EnvGracePeriod); ok && d > 0 {
		b.Grace, b.Source = d, EnvGracePeriod
		if cfg.GracePeriod > 0 && cfg.GracePeriod != d {
			b.warnf("%s: %v, and not %v as in Config.GracePeriod", EnvGracePeriod, d, cfg.GracePeriod)
		}
		return
	} else if ok {
		b.warnf("%s: %v is not a grace period: ignored", EnvGracePeriod, d)
	}
	if cfg.GracePeriod > 0 {
		b.Grace, b.Source = cfg.GracePeriod, "Config.GracePeriod"
		return
	}
	for _, p := range platforms {
		if p.here(e) {
			b.Grace, b.Source = p.grace, guessed+"the default of "+p.name
			return
		}
	}
	// A time that was chosen was chosen for other places than a terminal, too.
	if e.Terminal() && cfg.Timeout == 0 && cfg.LameDuck <= 0 && cfg.Reserve == 0 {
		b.Grace, b.Source = terminalGrace, guessedTerminal
		return
	}
	b.Grace, b.Source = noPlatformGrace, guessed+"no platform recognised"
}

// takePreStop takes a preStop hook that is not ours off the grace period.
func (b *Budget) takePreStop(e Env) time.Duration {
	d, ok := b.duration(e, EnvPreStop)
	if !ok {
		return 0
	}
	if d >= b.Grace {
		b.warnf("%s: %v is not shorter than the grace period of %v: ignored", EnvPreStop, d, b.Grace)
		return 0
	}
	b.Grace -= d
	if d > 0 {
		b.Source += fmt.Sprintf(", less %v of %s", d, EnvPreStop)
	}
	return d
}

func (b *Budget) findLameDuck(cfg Config, e Env) {
	if d, ok := b.duration(e, envLameDuck); ok {
		b.lameDuck = d
		if cfg.LameDuck != 0 && max(0, cfg.LameDuck) != d {
			b.warnf("%s: %v, and not %v as in Config.LameDuck", envLameDuck, d, max(0, cfg.LameDuck))
		}
		return
	}
	if cfg.LameDuck != 0 {
		b.lameDuck = max(0, cfg.LameDuck)
		return
	}
	b.ifServing = e.get("KUBERNETES_SERVICE_HOST") != ""
	if b.ifServing {
		b.lameDuck = min(5*time.Second, b.Timeout/4)
	}
}

// duration reads "30s" or "30", which is in seconds. A malformed value is a warning
// and counts as unset.
func (b *Budget) duration(e Env, key string) (time.Duration, bool) {
	v := e.get(key)
	if v == "" {
		return 0, false
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		d, err = time.ParseDuration(v + "s")
	}
	if err != nil || d < 0 {
		b.warnf(`%s: %q is no duration such as "30s" or "30": ignored`, key, clip.Line(v, 100))
		return 0, false
	}
	return d, true
}

func (b *Budget) warnf(format string, args ...any) {
	b.Warnings = append(b.Warnings, fmt.Sprintf(format, args...))
}

// checkMargin warns of a Timeout that leaves next to nothing until the kill: the last log
// line, the rest of main and the exit take time as well. (The default Timeout leaves a
// tenth of the grace period.)
func (b *Budget) checkMargin() {
	left := b.Grace - b.Timeout
	switch {
	case left >= min(time.Second, b.Grace/20):
	case Guessed(b.Source) && left <= 0:
		b.warnf("Config.Timeout: %v is not shorter than the grace period of %v, which is guessed (%s): set %s to what the platform grants",
			b.Timeout, b.Grace, b.Source, EnvGracePeriod)
	default:
		b.warnf("Config.Timeout: %v leaves %v of the grace period of %v (%s): leave it 0, which is %v here, or set %s to what the platform grants",
			b.Timeout, left, b.Grace, b.Source, defaultTimeout(b.Grace), EnvGracePeriod)
	}
}
