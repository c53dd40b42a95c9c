//go:build unix || windows

package signame

import (
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSignalsHaveTheirNamesOnEverySystem(t *testing.T) {
	for sig, want := range map[os.Signal]string{
		os.Interrupt:    "SIGINT",
		os.Kill:         "SIGKILL",
		syscall.SIGTERM: "SIGTERM",
		syscall.SIGHUP:  "SIGHUP",
		syscall.SIGQUIT: "SIGQUIT",
		syscall.SIGPIPE: "SIGPIPE",
	} {
		require.Equal(t, want, Name(sig))
	}
}

// The numbers are those of syscall/types_windows.go, which is not built here.
func TestTheTableOfWindowsHasTheSignalsOfPackageSyscall(t *testing.T) {
	for want, number := range map[string]int{
		"SIGHUP": 0x1, "SIGINT": 0x2, "SIGQUIT": 0x3, "SIGILL": 0x4, "SIGTRAP": 0x5, "SIGABRT": 0x6, "SIGBUS": 0x7,
		"SIGFPE": 0x8, "SIGKILL": 0x9, "SIGSEGV": 0xb, "SIGPIPE": 0xd, "SIGALRM": 0xe, "SIGTERM": 0xf,
	} {
		require.Equal(t, want, windowsNames[number])
	}
	require.Len(t, windowsNames, 13)
	require.Empty(t, windowsNames[0], "a signal that is not a syscall.Signal is looked up as 0")
}

func TestASignalWithoutANameHasItsStringAsName(t *testing.T) {
	require.Equal(t, "quarter to three", Name(note("quarter to three")))
	require.Equal(t, syscall.Signal(200).String(), Name(syscall.Signal(200)))
}

func TestRealTimeSignalsAreNamedByTheirOffset(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux")
	}
	require.Equal(t, "SIGRTMIN", Name(syscall.Signal(34)))
	require.Equal(t, "SIGRTMIN+3", Name(syscall.Signal(37)))
	require.Equal(t, "SIGRTMIN+30", Name(syscall.Signal(64)))
	require.Equal(t, "signal 65", Name(syscall.Signal(65)))
}

// A note is a signal that is not a syscall.Signal, as on Plan 9.
type note string

func (note) Signal()          {}
func (n note) String() string { return string(n) }
