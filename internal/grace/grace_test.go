package grace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/grace"
	"github.com/gracefulgo/shutdown/internal/testenv"
)

const s = time.Second

func TestTheGracePeriodIsTakenFromTheMostReliableSource(t *testing.T) {
	for name, test := range map[string]struct {
		env     []string
		cfg     grace.Config
		grace   time.Duration
		source  string
		guessed bool
		timeout time.Duration
	}{
		"nothing known":                          {nil, grace.Config{}, 30 * s, "no platform", true, 27 * s},
		"the environment":                        {[]string{"SHUTDOWN_GRACE_PERIOD=20s", "KUBERNETES_SERVICE_HOST=x"}, grace.Config{GracePeriod: 40 * s}, 20 * s, "SHUTDOWN_GRACE_PERIOD", false, 18 * s},
		"a bare number":                          {[]string{"SHUTDOWN_GRACE_PERIOD=60"}, grace.Config{}, 60 * s, "SHUTDOWN_GRACE_PERIOD", false, 55 * s},
		"the program":                            {[]string{"KUBERNETES_SERVICE_HOST=x"}, grace.Config{GracePeriod: 40 * s}, 40 * s, "Config.GracePeriod", false, 36 * s},
		"malformed":                              {[]string{"SHUTDOWN_GRACE_PERIOD=soon"}, grace.Config{GracePeriod: 40 * s}, 40 * s, "Config.GracePeriod", false, 36 * s},
		"negative":                               {[]string{"SHUTDOWN_GRACE_PERIOD=-3"}, grace.Config{}, 30 * s, "no platform", true, 27 * s},
		"zero":                                   {[]string{"SHUTDOWN_GRACE_PERIOD=0"}, grace.Config{}, 30 * s, "no platform", true, 27 * s},
		"Kubernetes":                             {[]string{"KUBERNETES_SERVICE_HOST=x"}, grace.Config{}, 30 * s, "Kubernetes", true, 27 * s},
		"ECS":                                    {[]string{"ECS_CONTAINER_METADATA_URI_V4=x"}, grace.Config{}, 30 * s, "ECS", true, 27 * s},
		"Cloud Run":                              {[]string{"K_SERVICE=x"}, grace.Config{}, 10 * s, "Cloud Run", true, 9 * s},
		"Knative is no Cloud Run":                {[]string{"K_SERVICE=x", "KUBERNETES_SERVICE_HOST=x"}, grace.Config{}, 30 * s, "Kubernetes", true, 27 * s},
		"Fly":                                    {[]string{"FLY_MACHINE_ID=x"}, grace.Config{}, 5 * s, "Fly", true, 4500 * time.Millisecond},
		"Nomad":                                  {[]string{"NOMAD_ALLOC_ID=x", "/.dockerenv"}, grace.Config{}, 5 * s, "Nomad", true, 4500 * time.Millisecond},
		"AWS Lambda":                             {[]string{"AWS_LAMBDA_RUNTIME_API=x"}, grace.Config{}, 300 * time.Millisecond, "AWS Lambda", true, 270 * time.Millisecond},
		"systemd":                                {[]string{"SYSTEMD_EXEC_PID=42"}, grace.Config{}, 90 * s, "a systemd unit", true, 85 * s},
		"a child of systemd's":                   {[]string{"SYSTEMD_EXEC_PID=41"}, grace.Config{}, 30 * s, "no platform", true, 27 * s},
		"docker":                                 {[]string{"/.dockerenv"}, grace.Config{}, 10 * s, "a container", true, 9 * s},
		"podman":                                 {[]string{"container=podman"}, grace.Config{}, 10 * s, "a container", true, 9 * s},
		"a preStop sleep":                        {[]string{"SHUTDOWN_GRACE_PERIOD=30", "SHUTDOWN_PRESTOP=10"}, grace.Config{}, 20 * s, "less 10s of SHUTDOWN_PRESTOP", false, 18 * s},
		"preStop too long":                       {[]string{"SHUTDOWN_GRACE_PERIOD=30", "SHUTDOWN_PRESTOP=30"}, grace.Config{}, 30 * s, "SHUTDOWN_GRACE_PERIOD", false, 27 * s},
		"a set timeout":                          {[]string{"SHUTDOWN_GRACE_PERIOD=30"}, grace.Config{Timeout: 7 * s}, 30 * s, "SHUTDOWN_GRACE_PERIOD", false, 7 * s},
		"a timeout longer than the grace period": {[]string{"SHUTDOWN_GRACE_PERIOD=10"}, grace.Config{Timeout: 20 * s}, 10 * s, "SHUTDOWN_GRACE_PERIOD", false, 9 * s},
		"a timeout longer than a guess":          {[]string{"/.dockerenv"}, grace.Config{Timeout: 20 * s}, 10 * s, "a container", true, 20 * s},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := grace.New(test.cfg, testenv.New(test.env...))
			require.NoError(t, err)
			require.Equal(t, test.grace, b.Grace)
			require.Contains(t, b.Source, test.source)
			require.Equal(t, test.guessed, grace.Guessed(b.Source))
			require.Equal(t, test.guessed, strings.HasPrefix(b.Source, "guessed"))
			require.Equal(t, test.timeout, b.Timeout)
			require.Less(t, b.LameDuck(true)+b.Reserve, b.Timeout)
		})
	}
}

// Closing the console, logging off and shutting down Windows are followed by a kill; a
// person at a terminal of another system only presses Ctrl-C.
func TestWindowsGrantsFiveSecondsAlsoAtATerminal(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		e := testenv.New()
		e.OS, e.Terminal = "windows", func() bool { return terminal }
		b, err := grace.New(grace.Config{}, e)
		require.NoError(t, err)
		require.Equal(t, 5*s, b.Grace)
		require.Equal(t, "guessed: the default of Windows", b.Source)
		require.True(t, grace.MayBeWrong(b.Source))
	}
	e := testenv.New("KUBERNETES_SERVICE_HOST=x")
	e.OS = "windows"
	b, err := grace.New(grace.Config{}, e)
	require.NoError(t, err)
	require.Equal(t, 30*s, b.Grace)
}

func TestAnInvalidEnvironmentIsAWarningAndNeverAnError(t *testing.T) {
	for name, test := range map[string]struct {
		env []string
		cfg grace.Config
	}{
		`SHUTDOWN_GRACE_PERIOD: "soon" is no duration`:                                                      {[]string{"SHUTDOWN_GRACE_PERIOD=soon"}, grace.Config{}},
		`SHUTDOWN_LAME_DUCK: "-1s" is no duration`:                                                          {[]string{"SHUTDOWN_LAME_DUCK=-1s"}, grace.Config{}},
		`SHUTDOWN_PRESTOP: "1 h" is no duration`:                                                            {[]string{"SHUTDOWN_PRESTOP=1 h"}, grace.Config{}},
		"SHUTDOWN_PRESTOP: 40s is not shorter":                                                              {[]string{"SHUTDOWN_PRESTOP=40"}, grace.Config{}},
		"SHUTDOWN_GRACE_PERIOD: 20s, and not 30s":                                                           {[]string{"SHUTDOWN_GRACE_PERIOD=20"}, grace.Config{GracePeriod: 30 * s}},
		"SHUTDOWN_LAME_DUCK: 2s, and not 3s":                                                                {[]string{"SHUTDOWN_LAME_DUCK=2"}, grace.Config{LameDuck: 3 * s}},
		"Config.Timeout: 20s is not shorter than the grace period of 10s (SHUTDOWN_GRACE_PERIOD): using 9s": {[]string{"SHUTDOWN_GRACE_PERIOD=10"}, grace.Config{Timeout: 20 * s}},
		"Config.Reserve: 10s is not shorter than the timeout of 9s":                                         {[]string{"SHUTDOWN_GRACE_PERIOD=10"}, grace.Config{Reserve: 10 * s}},
		"lame duck: 1m0s does not fit":                                                                      {[]string{"SHUTDOWN_LAME_DUCK=60"}, grace.Config{}},
	} {
		b, err := grace.New(test.cfg, testenv.New(test.env...))
		require.NoError(t, err)
		require.Contains(t, strings.Join(b.Warnings, "\n"), name)
		require.Less(t, b.LameDuck(true)+b.Reserve, b.Timeout, "%s: the budget fits", name)
		require.Positive(t, b.Reserve)
	}
}

func TestALameDuckIsTheDefaultOnlyForServersInKubernetes(t *testing.T) {
	k8s := "KUBERNETES_SERVICE_HOST=10.0.0.1"
	for name, test := range map[string]struct {
		env      []string
		cfg      grace.Config
		lameDuck time.Duration
		always   bool
	}{
		"elsewhere":                              {nil, grace.Config{}, 0, true},
		"Kubernetes":                             {[]string{k8s}, grace.Config{}, 5 * s, false},
		"a short grace":                          {[]string{k8s, "SHUTDOWN_GRACE_PERIOD=10"}, grace.Config{}, 2250 * time.Millisecond, false},
		"set":                                    {nil, grace.Config{LameDuck: 3 * s}, 3 * s, true},
		"none":                                   {[]string{k8s}, grace.Config{LameDuck: -1}, 0, true},
		"set by the deployer":                    {[]string{"SHUTDOWN_LAME_DUCK=7"}, grace.Config{LameDuck: 3 * s}, 7 * s, true},
		"none set by the deployer":               {[]string{k8s, "SHUTDOWN_LAME_DUCK=0"}, grace.Config{LameDuck: 3 * s}, 0, true},
		"a preStop sleep takes a part":           {[]string{k8s, "SHUTDOWN_PRESTOP=3"}, grace.Config{}, 2 * s, false},
		"a preStop sleep takes all of it":        {[]string{k8s, "SHUTDOWN_PRESTOP=10"}, grace.Config{}, 0, false},
		"longer than the default reserve allows": {nil, grace.Config{Timeout: 20 * s, LameDuck: 18 * s}, 18 * s, true},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := grace.New(test.cfg, testenv.New(test.env...))
			require.NoError(t, err)
			require.Equal(t, test.lameDuck, b.LameDuck(true))
			if !test.always {
				test.lameDuck = 0
			}
			require.Equal(t, test.lameDuck, b.LameDuck(false), "without a server")
			require.Less(t, b.LameDuck(true)+b.Reserve, b.Timeout)
		})
	}
}

func TestTheTerminalIsAGuessOnlyIfNoTimeIsSet(t *testing.T) {
	for name, cfg := range map[string]grace.Config{"Timeout": {Timeout: 20 * s}, "LameDuck": {LameDuck: 10 * s}, "Reserve": {Reserve: 8 * s}, "nothing": {}} {
		e := testenv.New()
		e.Terminal = func() bool { return true }
		b, err := grace.New(cfg, e)
		require.NoError(t, err)
		require.Empty(t, b.Warnings, name)
		require.Equal(t, name == "nothing", b.Grace == 10*s, name)
	}
}

func TestAnInvalidConfigIsAnErrorThatNamesFieldValueAndLimit(t *testing.T) {
	for want, cfg := range map[string]grace.Config{
		"Config.GracePeriod: -1s is negative":                                                                   {GracePeriod: -s},
		"Config.Timeout: -1s is negative":                                                                       {Timeout: -s},
		"Config.Reserve: -1s is negative":                                                                       {Reserve: -s},
		"Config.Timeout: 30s is not shorter than GracePeriod, 30s":                                              {GracePeriod: 30 * s, Timeout: 30 * s},
		"Config.Reserve: 9s is not shorter than Timeout, 9s":                                                    {Timeout: 9 * s, Reserve: 9 * s},
		"Config.Reserve: 30s is not shorter than the Timeout that follows from GracePeriod, 27s":                {GracePeriod: 30 * s, Reserve: 30 * s},
		"Config.LameDuck: 8s is not shorter than Timeout less Reserve, 8s":                                      {Timeout: 9 * s, Reserve: s, LameDuck: 8 * s},
		"Config.LameDuck: 1m0s is not shorter than the Timeout that follows from GracePeriod less Reserve, 27s": {GracePeriod: 30 * s, LameDuck: time.Minute},
	} {
		_, err := grace.New(cfg, testenv.New("SHUTDOWN_GRACE_PERIOD=1000"))
		require.ErrorContains(t, err, want)
	}
}

func TestATimeoutTooCloseToTheGracePeriodIsAWarning(t *testing.T) {
	for name, test := range map[string]struct {
		env  []string
		cfg  grace.Config
		want string // in the warning; "" for none
	}{
		"nothing set":                         {nil, grace.Config{}, ""},
		"a tenth of a short period":           {[]string{"SHUTDOWN_GRACE_PERIOD=1s"}, grace.Config{}, ""},
		"a margin of a second":                {nil, grace.Config{GracePeriod: time.Hour, Timeout: time.Hour - s, LameDuck: -1}, ""},
		"a margin of a twentieth":             {nil, grace.Config{GracePeriod: 10 * s, Timeout: 9500 * time.Millisecond}, ""},
		"a margin of 100 ms":                  {nil, grace.Config{GracePeriod: 30 * s, Timeout: 29900 * time.Millisecond}, "Config.Timeout: 29.9s leaves 100ms of the grace period of 30s (Config.GracePeriod): leave it 0, which is 27s here, or set SHUTDOWN_GRACE_PERIOD"},
		"of the rest after preStop":           {[]string{"SHUTDOWN_GRACE_PERIOD=30", "SHUTDOWN_PRESTOP=10"}, grace.Config{Timeout: 19900 * time.Millisecond}, "leaves 100ms of the grace period of 20s"},
		"of a guessed period":                 {[]string{"/.dockerenv"}, grace.Config{Timeout: 9900 * time.Millisecond}, "leaves 100ms of the grace period of 10s (guessed"},
		"longer than a guessed period":        {[]string{"/.dockerenv"}, grace.Config{Timeout: 20 * s}, "20s is not shorter than the grace period of 10s, which is guessed (guessed: the default of a container): set SHUTDOWN_GRACE_PERIOD to"},
		"corrected, with a warning":           {[]string{"SHUTDOWN_GRACE_PERIOD=10"}, grace.Config{Timeout: 20 * s}, ": using "},
		"shorter than the period that is set": {[]string{"SHUTDOWN_GRACE_PERIOD=40", "/.dockerenv"}, grace.Config{Timeout: 20 * s}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := grace.New(test.cfg, testenv.New(test.env...))
			require.NoError(t, err)
			if test.want == "" {
				require.Empty(t, b.Warnings)
				return
			}
			require.Len(t, b.Warnings, 1)
			require.Contains(t, b.Warnings[0], test.want)
		})
	}
}

func TestTheDefaultLameDuckIsForProgramsThatServe(t *testing.T) {
	for name, test := range map[string]struct {
		cfg         grace.Config
		serves, not time.Duration
	}{
		"default": {grace.Config{}, 5 * s, 0},
		"set":     {grace.Config{LameDuck: 3 * s}, 3 * s, 3 * s},
		"none":    {grace.Config{LameDuck: -1}, 0, 0},
	} {
		b, err := grace.New(test.cfg, testenv.New("KUBERNETES_SERVICE_HOST=10.0.0.1"))
		require.NoError(t, err)
		require.Equal(t, test.serves, b.LameDuck(true), name)
		require.Equal(t, test.not, b.LameDuck(false), name)
	}
}

// Only then the log advises to set the grace period: the platform may grant less.
func TestOnlyAGuessAboutAPlatformMayBeWrong(t *testing.T) {
	terminal := testenv.New()
	terminal.Terminal = func() bool { return true }
	for name, test := range map[string]struct {
		env                 grace.Env
		guessed, mayBeWrong bool
	}{
		"set":         {testenv.New("SHUTDOWN_GRACE_PERIOD=30"), false, false},
		"Kubernetes":  {testenv.New("KUBERNETES_SERVICE_HOST=10.0.0.1"), true, true},
		"no platform": {testenv.New(), true, true},
		"a terminal":  {terminal, true, false},
	} {
		b, err := grace.New(grace.Config{}, test.env)
		require.NoError(t, err)
		require.Equal(t, test.guessed, grace.Guessed(b.Source), name)
		require.Equal(t, test.mayBeWrong, grace.MayBeWrong(b.Source), name)
	}
	require.False(t, grace.Guessed("Config.GracePeriod"))
	require.False(t, grace.MayBeWrong("Config.GracePeriod"))
}

func TestOfProcessReadsTheEnvironmentOfTheProcess(t *testing.T) {
	e := grace.OfProcess()
	t.Setenv(grace.EnvGracePeriod, "17s")
	value, ok := e.Lookup(grace.EnvGracePeriod)
	require.True(t, ok)
	require.Equal(t, "17s", value)
	_, ok = e.Lookup("SHUTDOWN_NO_SUCH_VARIABLE")
	require.False(t, ok)
	require.True(t, e.Exists(t.TempDir()))
	require.False(t, e.Exists(filepath.Join(t.TempDir(), "missing")))
	require.Equal(t, os.Getpid(), e.PID)
	require.NotPanics(t, func() { e.Terminal() }) // whatever stderr is
	b, err := grace.New(grace.Config{}, e)
	require.NoError(t, err)
	require.Equal(t, 17*s, b.Grace)
}
