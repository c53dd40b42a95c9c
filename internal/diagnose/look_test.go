package diagnose

import (
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestAFindingNamesTheProblemAndTheRemedy(t *testing.T) {
	require.Equal(t, "PID 1 is sh: use exec", Finding{"PID 1 is sh", "use exec"}.String())
}

func TestSelfIsThePresentProcess(t *testing.T) {
	me := Self()
	require.Equal(t, os.Getpid(), me.PID)
	if runtime.GOOS == "linux" {
		_, err := me.Proc.Open("self/status")
		require.NoError(t, err)
	}
	require.NotPanics(t, func() { me.Look([]os.Signal{syscall.SIGTERM}, notIgnored) }) // however the tests were started
}

func notIgnored(os.Signal) bool { return false }

func TestASignalThatWasIgnoredAtTheStartIsReportedIfTheProgramCatchesIt(t *testing.T) {
	for name, test := range map[string]struct {
		ignored, sigs []os.Signal
		want          []string
	}{
		"none":                          {nil, []os.Signal{syscall.SIGHUP}, nil},
		"nohup":                         {[]os.Signal{syscall.SIGHUP}, []os.Signal{syscall.SIGHUP, syscall.SIGTERM}, []string{"SIGHUP was ignored"}},
		"nohup, HUP is not caught":      {[]os.Signal{syscall.SIGHUP}, []os.Signal{syscall.SIGTERM, os.Interrupt}, nil},
		"in the background of a script": {[]os.Signal{os.Interrupt}, []os.Signal{syscall.SIGTERM, os.Interrupt}, nil},
		"only SIGINT is caught":         {[]os.Signal{os.Interrupt}, []os.Signal{os.Interrupt}, []string{"SIGINT was ignored"}},
		"several": {[]os.Signal{syscall.SIGHUP, os.Interrupt}, []os.Signal{os.Interrupt, syscall.SIGHUP},
			[]string{"SIGHUP was ignored", "SIGINT was ignored"}},
	} {
		t.Run(name, func(t *testing.T) {
			findings := Process{PID: 42}.Look(test.sigs, func(sig os.Signal) bool { return slices.Contains(test.ignored, sig) })
			require.Len(t, findings, len(test.want))
			for i, want := range test.want {
				require.Contains(t, findings[i].Problem, want)
				require.Contains(t, findings[i].Remedy, "nohup")
			}
		})
	}
}

func TestParentProcessesAreCheckedOnlyIfTheProgramCatchesSIGTERM(t *testing.T) {
	const status = "Name:\tx\nState:\tS (sleeping)\nSigIgn:\t0\nSigCgt:\t0\n"
	me := Process{PID: 2, Proc: fstest.MapFS{
		"1/status":    {Data: []byte("Pid:\t1\nPPid:\t0\n" + status)},
		"1/cmdline":   {Data: []byte("/bin/sh\x00./start.sh\x00")},
		"self/status": {Data: []byte("Pid:\t2\nPPid:\t1\n" + status)},
	}}
	require.Empty(t, me.Look([]os.Signal{syscall.SIGHUP}, notIgnored))
	findings := me.Look([]os.Signal{syscall.SIGHUP, syscall.SIGTERM}, func(sig os.Signal) bool { return sig == syscall.SIGHUP })
	if runtime.GOOS == "linux" {
		require.Len(t, findings, 2)
		require.Contains(t, findings[0].Problem, "PID 1 is /bin/sh ./start.sh", "the worst first")
		findings = findings[1:]
	}
	require.Len(t, findings, 1)
	require.Contains(t, findings[0].Problem, "SIGHUP")
}
