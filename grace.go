package shutdown

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// env is what New learns from the process it runs in. Tests bring their own.
type env struct {
	lookup  func(key string) (string, bool)
	exists  func(path string) bool
	proc    fs.FS // /proc
	pid     int
	signals signalSource

	terminal func() bool // stderr is one: a person may read it, and press Ctrl-C

	// For the post-mortem.
	self           func() run
	alive          func(run) bool
	disk           disk
	terminationLog string // path
}

func processEnv() env {
	return env{
		lookup:  os.LookupEnv,
		exists:  func(path string) bool { _, err := os.Stat(path); return err == nil },
		proc:    os.DirFS("/proc"),
		pid:     os.Getpid(),
		signals: processSignals{},

		terminal: stderrIsTerminal,

		self:           thisRun,
		alive:          isAlive,
		disk:           processDisk,
		terminationLog: "/dev/termination-log",
	}
}

// The environment beats Config, because who deploys a service knows what who
// wrote it cannot.
const (
	envGracePeriod = "SHUTDOWN_GRACE_PERIOD"
	envLameDuck    = "SHUTDOWN_LAME_DUCK"
	envPreStop     = "SHUTDOWN_PRESTOP"
)

// A budget is how much time there is, and how it is divided.
type budget struct {
	grace    time.Duration
	source   string // where grace was learnt
	guessed  bool   // grace is a platform's default, nobody told us
	timeout  time.Duration
	reserve  time.Duration
	lameDuck time.Duration

	// lameDuckIfServing is set where nobody chose lameDuck: then it applies
	// only if there is something that serves.
	lameDuckIfServing bool

	// warnings are for the log: nothing here keeps a service from starting.
	warnings []string
}

// platforms are recognised by their environment, in this order. Kubernetes
// comes first, because Knative and ECS Anywhere set variables of the others in
// its pods.
var platforms = []struct {
	name  string
	grace time.Duration
	here  func(env) bool
}{
	{"Kubernetes", 30 * time.Second, anyOf("KUBERNETES_SERVICE_HOST")},
	{"ECS", 30 * time.Second, anyOf("ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI")},
	{"Cloud Run", 10 * time.Second, anyOf("K_SERVICE", "CLOUD_RUN_JOB")},
	{"Fly", 5 * time.Second, anyOf("FLY_MACHINE_ID", "FLY_ALLOC_ID")},
	{"Nomad", 5 * time.Second, anyOf("NOMAD_ALLOC_ID")},
	// The variable is inherited; only the process that systemd itself started
	// has its own pid in it.
	{"a systemd unit", 90 * time.Second, func(e env) bool { return e.get("SYSTEMD_EXEC_PID") == strconv.Itoa(e.pid) }},
	{"a container", 10 * time.Second, func(e env) bool {
		return e.exists("/.dockerenv") || e.exists("/run/.containerenv") || e.get("container") != ""
	}},
}

// guessed is how the source of a grace period begins that nobody has told.
const (
	guessed         = "guessed: "
	guessedTerminal = guessed + "a terminal"
)

const (
	noPlatformGrace = 30 * time.Second
	// A person at a terminal has more patience than that, but not much more.
	terminalGrace = 10 * time.Second
)

func (e env) get(key string) string {
	v, _ := e.lookup(key)
	return v
}

func anyOf(keys ...string) func(env) bool {
	return func(e env) bool {
		for _, key := range keys {
			if e.get(key) != "" {
				return true
			}
		}
		return false
	}
}

// newBudget divides the time. Its error is about cfg alone, and names field,
// value and limit: only values that somebody set in the program can contradict
// each other. What the environment says is made to fit, with a warning.
func newBudget(cfg Config, e env) (budget, error) {
	if err := cfg.check(); err != nil {
		return budget{}, err
	}
	var b budget
	b.findGrace(cfg, e)
	preStop := b.takePreStop(e)

	b.timeout = cfg.Timeout
	switch {
	case b.timeout == 0:
		b.timeout = defaultTimeout(b.grace)
	case b.timeout >= b.grace && !b.guessed: // of a guess Diagnose tells
		b.timeout = defaultTimeout(b.grace)
		b.warnf("Config.Timeout: %v is not shorter than the grace period of %v (%s): using %v", cfg.Timeout, b.grace, b.source, b.timeout)
	}

	b.reserve = cfg.Reserve
	if b.reserve == 0 {
		b.reserve = b.timeout / 5
	}
	if b.reserve >= b.timeout {
		b.reserve = b.timeout / 5
		b.warnf("Config.Reserve: %v is not shorter than the timeout of %v: using %v", cfg.Reserve, b.timeout, b.reserve)
	}

	b.findLameDuck(cfg, e)
	// Time that the instance has already spent serving on, told to leave.
	b.lameDuck = max(0, b.lameDuck-preStop)
	if b.lameDuck+b.reserve < b.timeout {
		return b, nil
	}
	if cfg.Reserve == 0 && b.lameDuck < b.timeout {
		b.reserve = (b.timeout - b.lameDuck) / 2
		return b, nil
	}
	asked := b.lameDuck
	b.lameDuck = (b.timeout - b.reserve) / 2
	b.warnf("lame duck: %v does not fit into the timeout of %v less the reserve of %v: using %v", asked, b.timeout, b.reserve, b.lameDuck)
	return b, nil
}

// defaultTimeout leaves a tenth, at most 5 s, between our end and the kill.
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

func (b *budget) findGrace(cfg Config, e env) {
	if d, ok := b.duration(e, envGracePeriod); ok && d > 0 {
		b.grace, b.source = d, envGracePeriod
		if cfg.GracePeriod > 0 && cfg.GracePeriod != d {
			b.warnf("%s: %v, and not %v as in Config.GracePeriod", envGracePeriod, d, cfg.GracePeriod)
		}
		return
	} else if ok {
		b.warnf("%s: %v is not a grace period: ignored", envGracePeriod, d)
	}
	if cfg.GracePeriod > 0 {
		b.grace, b.source = cfg.GracePeriod, "Config.GracePeriod"
		return
	}
	b.guessed = true
	for _, p := range platforms {
		if p.here(e) {
			b.grace, b.source = p.grace, guessed+"the default of "+p.name
			return
		}
	}
	// Who has chosen a time has chosen it for more than a terminal.
	if e.terminal() && cfg.Timeout == 0 && cfg.LameDuck <= 0 && cfg.Reserve == 0 {
		b.grace, b.source = terminalGrace, guessedTerminal
		return
	}
	b.grace, b.source = noPlatformGrace, guessed+"no platform recognised"
}

// takePreStop takes a preStop that is not ours off the grace period.
func (b *budget) takePreStop(e env) time.Duration {
	d, ok := b.duration(e, envPreStop)
	if !ok {
		return 0
	}
	if d >= b.grace {
		b.warnf("%s: %v is not shorter than the grace period of %v: ignored", envPreStop, d, b.grace)
		return 0
	}
	b.grace -= d
	if d > 0 {
		b.source += fmt.Sprintf(", less %v of %s", d, envPreStop)
	}
	return d
}

func (b *budget) findLameDuck(cfg Config, e env) {
	if d, ok := b.duration(e, envLameDuck); ok {
		b.lameDuck, b.lameDuckIfServing = d, false
		if cfg.LameDuck != 0 && max(0, cfg.LameDuck) != d {
			b.warnf("%s: %v, and not %v as in Config.LameDuck", envLameDuck, d, max(0, cfg.LameDuck))
		}
		return
	}
	if cfg.LameDuck != 0 {
		b.lameDuck, b.lameDuckIfServing = max(0, cfg.LameDuck), false
		return
	}
	b.lameDuckIfServing = e.get("KUBERNETES_SERVICE_HOST") != ""
	if b.lameDuckIfServing {
		b.lameDuck = min(5*time.Second, b.timeout/4)
	}
}

// duration reads "30s" or "30", which are seconds. A malformed value is a
// warning and counts as unset.
func (b *budget) duration(e env, key string) (time.Duration, bool) {
	v := e.get(key)
	if v == "" {
		return 0, false
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		d, err = time.ParseDuration(v + "s")
	}
	if err != nil || d < 0 {
		b.warnf(`%s: %q is no duration such as "30s" or "30": ignored`, key, shorten(v, maxTaskName))
		return 0, false
	}
	return d, true
}

func (b *budget) warnf(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}
