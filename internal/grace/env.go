package grace

import (
	"os"
	"runtime"
	"strconv"
	"time"
)

// An Env is what is read of the process and its surroundings. Tests bring their own.
type Env struct {
	Lookup   func(key string) (string, bool)
	Exists   func(path string) bool
	PID      int
	OS       string      // as runtime.GOOS
	Terminal func() bool // stderr is one: a person may read it, and press Ctrl-C
}

// OfProcess is the Env of this process.
func OfProcess() Env {
	return Env{
		Lookup:   os.LookupEnv,
		Exists:   func(path string) bool { _, err := os.Stat(path); return err == nil },
		PID:      os.Getpid(),
		OS:       runtime.GOOS,
		Terminal: stderrIsTerminal,
	}
}

func (e Env) get(key string) string {
	v, _ := e.Lookup(key)
	return v
}

// The environment takes precedence over Config: whoever deploys a service knows
// what its author cannot know.
const (
	EnvGracePeriod = "SHUTDOWN_GRACE_PERIOD"
	envLameDuck    = "SHUTDOWN_LAME_DUCK"
	EnvPreStop     = "SHUTDOWN_PRESTOP"
)

// platforms are recognised by their environment, in this order. Kubernetes comes
// first, because Knative and ECS Anywhere set variables of the others in its pods.
var platforms = []struct {
	name  string
	grace time.Duration
	here  func(Env) bool
}{
	{"Kubernetes", 30 * time.Second, anyOf("KUBERNETES_SERVICE_HOST")},
	{"ECS", 30 * time.Second, anyOf("ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI")},
	{"Cloud Run", 10 * time.Second, anyOf("K_SERVICE", "CLOUD_RUN_JOB")},
	{"Fly", 5 * time.Second, anyOf("FLY_MACHINE_ID", "FLY_ALLOC_ID")},
	{"Nomad", 5 * time.Second, anyOf("NOMAD_ALLOC_ID")},
	// With an extension: without one there is no SIGTERM.
	{"AWS Lambda", 300 * time.Millisecond, anyOf("AWS_LAMBDA_RUNTIME_API")},
	// The variable is inherited; only the process that systemd itself started
	// finds its own pid in it.
	{"a systemd unit", 90 * time.Second, func(e Env) bool { return e.get("SYSTEMD_EXEC_PID") == strconv.Itoa(e.PID) }},
	{"a container", 10 * time.Second, func(e Env) bool {
		return e.Exists("/.dockerenv") || e.Exists("/run/.containerenv") || e.get("container") != ""
	}},
	// After the close of a console, a logoff or a Windows shutdown. Ctrl-C has no limit.
	{"Windows", 5 * time.Second, func(e Env) bool { return e.OS == "windows" }},
}

func anyOf(keys ...string) func(Env) bool {
	return func(e Env) bool {
		for _, key := range keys {
			if e.get(key) != "" {
				return true
			}
		}
		return false
	}
}

const (
	noPlatformGrace = 30 * time.Second
	// A person at a terminal waits for longer than that, but not for much longer.
	terminalGrace = 10 * time.Second
)
