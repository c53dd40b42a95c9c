package postmortem_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/postmortem"
)

func TestARecordSaysWhoHasWrittenItAndWhen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		i := start(path, aRun(1))
		started := time.Now()
		i.settle(t)
		require.Equal(t, path, i.Path)
		time.Sleep(time.Minute)
		i.enter(t, drain)
		r := readRecord(t, path)
		require.WithinDuration(t, started.Add(time.Minute), r.Written, time.Second)
		require.True(t, started.Equal(r.Started))
		r.Started, r.Written = time.Time{}, time.Time{}
		require.Equal(t, postmortem.File[report]{Format: postmortem.Format, Run: aRun(1), InFlight: 7, CutOff: 3, Report: report{drain}}, r)
		i.end(t)
	})
}

func TestTheLastRunIsKnown(t *testing.T) {
	for _, phase := range []string{running, drain, done} {
		t.Run(phase, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			synctest.Test(t, func(t *testing.T) {
				i := start(path, aRun(1))
				_, ok := i.Last()
				require.False(t, ok, "there was none")
				i.enter(t, phase)
				i.die(t)

				next := start(path, aRun(2))
				last, killed := next.Last()
				require.Equal(t, phase != done, killed)
				require.Equal(t, report{phase}, last)
				next.die(t)

				after := start(path, aRun(3))
				last, killed = after.Last()
				require.True(t, killed, "that run has not ended")
				require.Equal(t, report{running}, last, "the one before is none of its business")
				after.end(t)
				for _, i := range []*instance{i, next, after} {
					require.Empty(t, i.warned())
				}
			})
		})
	}
}

func TestNothingIsWrittenUntilTheStateChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		i := start(path, aRun(1))
		time.Sleep(time.Hour)
		i.settle(t)
		tries, writes := i.counts()
		require.Equal(t, 1, tries)
		require.Equal(t, 1, writes)
		i.end(t)
		_, writes = i.counts()
		require.Equal(t, 2, writes)
	})
}

func TestTwoInstancesOnOnePathAreNoCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		one := start(path, aRun(1))
		one.settle(t)

		other := start(path, aRun(2))
		_, ok := other.Last()
		require.False(t, ok)
		time.Sleep(time.Minute)
		other.settle(t)
		require.Equal(t, 1, strings.Count(other.warned(), "another instance uses it"), "said once")
		other.end(t)
		_, writes := other.counts()
		require.Zero(t, writes)
		require.Equal(t, aRun(1), readRecord(t, path).Run)

		one.end(t)
		require.Equal(t, report{done}, readRecord(t, path).Report)
	})
}

// A rolling restart in which the new one starts before the old one has ended.
func TestTheRecordIsTakenOverWhenTheOldOneHasEnded(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			synctest.Test(t, func(t *testing.T) {
				old := start(path, aRun(1))
				old.settle(t)
				i := start(path, aRun(2))
				_, ok := i.Last()
				require.False(t, ok)
				if killed {
					old.die(t)
				} else {
					old.end(t)
				}
				time.Sleep(postmortem.Retry)
				synctest.Wait()
				i.settle(t)
				last, ok := i.Last()
				require.Equal(t, killed, ok)
				if killed {
					require.Equal(t, report{running}, last)
					require.Len(t, i.killed, 1)
				}
				require.Equal(t, aRun(2), readRecord(t, path).Run)
				i.end(t)
			})
		})
	}
}

func TestADiskThatIsFullWhenTheLockIsTakenOverIsAWarningOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		old := start(path, aRun(1))
		old.settle(t)
		i := start(path, aRun(2))
		i.settle(t)
		require.Contains(t, i.warned(), "another instance uses it")
		i.fail(errFull)
		old.end(t)
		time.Sleep(postmortem.Retry)
		i.settle(t)
		require.Contains(t, i.warned(), errFull.Error())
		i.end(t)
	})
}

func TestALockThatAnotherInstanceHasIsTriedAgainOnceASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		one := start(path, aRun(1))
		one.settle(t)
		other := start(path, aRun(2))
		other.settle(t)
		for range 10 { // each is a try of its own
			other.enter(t, drain)
		}
		before, _ := other.counts()
		require.Equal(t, 11, before)
		time.Sleep(10*time.Second + time.Millisecond)
		other.settle(t)
		tries, _ := other.counts()
		require.LessOrEqual(t, tries-before, 10)
		require.Positive(t, tries-before)
		other.end(t)
		one.end(t)
		before, _ = other.counts()
		time.Sleep(10 * time.Second)
		tries, _ = other.counts()
		require.Equal(t, before, tries, "nothing is tried after the end")
	})
}

func TestWhoHasWrittenTheRecordIsTold(t *testing.T) {
	me := aRun(2)
	rebooted, reused := aRun(1), me
	rebooted.BootID = "another boot"
	reused.Start = 17
	for name, test := range map[string]struct {
		old      postmortem.Run
		alive    bool
		phase    string
		known    bool
		sameBoot bool
	}{
		"killed":                       {aRun(1), false, drain, true, true},
		"killed, and pid 1 like us":    {reused, false, running, true, true},
		"killed, then a reboot":        {rebooted, false, drain, true, false},
		"ended":                        {aRun(1), false, done, false, true},
		"ended, then a reboot":         {rebooted, false, done, false, false},
		"this process, before an exec": {me, false, running, false, true},
		"alive, its lock removed":      {aRun(1), true, running, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			text, err := json.Marshal(postmortem.File[report]{Format: postmortem.Format, Run: test.old, InFlight: 17, Report: report{test.phase}})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, text, 0o600))
			synctest.Test(t, func(t *testing.T) {
				var asked []postmortem.Run
				i := start(path, me, func(e *postmortem.Env) {
					e.Alive = func(r postmortem.Run) bool { asked = append(asked, r); return test.alive }
				})
				last, ok := i.Last()
				require.Equal(t, test.known, ok)
				i.settle(t)
				if ok {
					require.Equal(t, report{test.phase}, last)
					require.Len(t, i.killed, 1)
					require.Equal(t, test.sameBoot, i.killed[0].sameBoot)
					require.Equal(t, test.old, i.killed[0].last.Run)
					require.Equal(t, 17, i.killed[0].last.InFlight)
					require.Equal(t, []postmortem.Run{test.old}, asked)
				} else {
					require.Empty(t, i.killed)
				}
				if test.alive {
					require.Contains(t, i.warned(), "another instance")
					require.Equal(t, test.old, readRecord(t, path).Run, "left alone")
				} else {
					require.Empty(t, i.warned())
					require.Equal(t, me, readRecord(t, path).Run)
				}
				i.end(t)
			})
		})
	}
}

func TestLastWaitsForTheDiskAMomentAfterTheStartAtMost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		one := start(path, aRun(1))
		one.die(t)
		hang := make(chan struct{})
		i := start(path, aRun(2), func(e *postmortem.Env) {
			e.Disk.Read = func(path string) ([]byte, error) { <-hang; return postmortem.ProcessDisk.Read(path) }
		})
		began := time.Now()
		time.AfterFunc(2*time.Second, func() { close(hang) })
		for range 3 {
			_, ok := i.Last()
			require.False(t, ok)
			require.Equal(t, postmortem.Patience, time.Since(began), "counted from the start, and not each time")
		}
		time.Sleep(2 * time.Second)
		i.settle(t)
		last, ok := i.Last()
		require.True(t, ok, "what has become known since")
		require.Equal(t, report{running}, last)
		require.Contains(t, i.warned(), "the disk does not answer")
		i.end(t)
	})
}

func TestARecordThatCannotBeWrittenIsAWarning(t *testing.T) {
	for name, path := range map[string]string{
		"no directory": filepath.Join(t.TempDir(), "missing", "record"),
		"a directory":  t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			i := start(path, aRun(1))
			_, ok := i.Last()
			require.False(t, ok)
			i.end(t)
			require.Contains(t, i.warned(), "Config.Record")
			require.Contains(t, i.warned(), path)
			if name == "a directory" {
				require.DirExists(t, path)
			}
		})
	}
}

func TestARecordThatIsDamagedIsAWarningAndReplaced(t *testing.T) {
	whole, err := json.Marshal(postmortem.File[report]{Format: postmortem.Format, Report: report{drain}})
	require.NoError(t, err)
	for name, text := range map[string]string{
		"empty":         "",
		"zeros":         "\x00\x00\x00\x00",
		"cut off":       string(whole[:len(whole)/2]),
		"unknown phase": strings.Replace(string(whole), `"drain"`, `"dance"`, 1),
		"a later one":   strings.Replace(string(whole), `"format":1`, `"format":2`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			i := start(path, aRun(1))
			_, ok := i.Last()
			require.False(t, ok)
			i.settle(t)
			require.Contains(t, i.warned(), "cannot be read")
			require.Equal(t, report{running}, readRecord(t, path).Report)
			i.end(t)
		})
	}
}

func TestWhatIsNoRecordIsSomebodysDataAndStays(t *testing.T) {
	for name, text := range map[string]string{
		"a database": "SQLite format 3\x00",
		"JSON":       `{"orders": [17]}`,
		"large":      strings.Repeat("x", postmortem.MaxRecord+1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "orders")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			i := start(path, aRun(1))
			_, ok := i.Last()
			require.False(t, ok)
			i.end(t)
			require.Contains(t, i.warned(), "Config.Record: not written")
			there, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, sha256.Sum256([]byte(text)), sha256.Sum256(there)) // not a diff of megabytes

			next := start(path, aRun(2))
			next.end(t)
			require.Contains(t, next.warned(), "Config.Record: not written")
			require.NotContains(t, next.warned(), "another instance", "the lock is released")
		})
	}
}

func TestWhatIsNoFileIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	require.NoError(t, os.Symlink(os.DevNull, path)) // which reads as an empty file
	i := start(path, aRun(1))
	_, ok := i.Last()
	require.False(t, ok)
	i.end(t)
	require.Contains(t, i.warned(), "no regular file")
	to, err := os.Readlink(path)
	require.NoError(t, err)
	require.Equal(t, os.DevNull, to)
}

func TestTheRecordStaysWhereItWasWhenTheProgramChangesItsDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	path, err := filepath.Abs("record")
	require.NoError(t, err)
	i := start("record", aRun(1))
	t.Chdir(t.TempDir())
	i.end(t)
	require.Equal(t, path, i.Path)
	require.Equal(t, report{done}, readRecord(t, path).Report)
	require.NoFileExists(t, "record")
}

// What is there would be read as the end of the run that could not write.
func TestAFullDiskRemovesARecordThatWouldAccuseARunThatEndsOrTheOneBefore(t *testing.T) {
	for phase, left := range map[string]bool{running: false, drain: true, done: false} {
		t.Run(phase, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			synctest.Test(t, func(t *testing.T) {
				i := start(path, aRun(1))
				i.settle(t)
				require.FileExists(t, path)
				i.fail(errFull)
				i.enter(t, phase)
				if left {
					require.Equal(t, report{running}, readRecord(t, path).Report, "it is the newest there is")
				} else {
					require.NoFileExists(t, path)
				}
				require.Contains(t, i.warned(), "Config.Record: not written")
				require.Contains(t, i.warned(), errFull.Error())
				i.die(t)
			})
		})
	}
}

func TestAFailureIsSaidOnceUntilSomethingHasWorked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		i := start(path, aRun(1))
		i.settle(t)
		for round := range 2 {
			i.fail(errFull)
			for range 5 {
				i.enter(t, drain)
			}
			require.Equal(t, round+1, strings.Count(i.warned(), "not written"))
			i.fail(nil)
			i.enter(t, drain)
		}
		i.end(t)
	})
}

func TestTheLockIsReleasedAtTheEnd(t *testing.T) {
	for name, full := range map[string]error{"written": nil, "not written": errFull} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			synctest.Test(t, func(t *testing.T) {
				i := start(path, aRun(1))
				i.settle(t)
				i.fail(full)
				i.end(t)

				next := start(path, aRun(2))
				_, ok := next.Last()
				require.False(t, ok)
				next.settle(t)
				require.Empty(t, next.warned())
				require.Equal(t, aRun(2), readRecord(t, path).Run)
				next.end(t)
			})
		})
	}
}

func TestARunThatHasEndedLeavesTheRecordToTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	synctest.Test(t, func(t *testing.T) {
		i := start(path, aRun(1))
		i.enter(t, done)
		next := start(path, aRun(2))
		next.settle(t)
		i.enter(t, done) // something is reported after the end
		require.Equal(t, aRun(2), readRecord(t, path).Run)
		next.end(t)
	})
}

func TestIsRecordKnowsWhatAMachineThatLostItsPowerHasLeft(t *testing.T) {
	for text, want := range map[string]bool{
		`{"format":1,"run":{}}`: true,
		`{"format":`:            true,
		"":                      true,
		"\x00\x00":              true,
		`{"format`:              false,
		` {"format":1}`:         false,
		`{"orders":[]}`:         false,
		"x\x00":                 false,
	} {
		require.Equal(t, want, postmortem.IsRecord([]byte(text)), "%q", text)
	}
}

func TestTheEnvironmentOfAProcessIsItsOwn(t *testing.T) {
	e := postmortem.OfProcess()
	me := e.Self()
	require.Equal(t, os.Getpid(), me.PID)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, host, me.Host)
	require.Equal(t, me, e.Self())
	if me.BootID != "" { // not every system says
		require.True(t, e.Alive(me))
	}
	me.Start++
	require.False(t, e.Alive(me))
	require.Equal(t, "/dev/termination-log", e.TerminationLog)

	// It keeps a record.
	path := filepath.Join(t.TempDir(), "record")
	i := start(path, me, func(env *postmortem.Env) { env.Disk = e.Disk })
	i.end(t)
	require.Equal(t, me, readRecord(t, path).Run)
}
