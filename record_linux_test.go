package shutdown_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testclock"
)

func TestAProgramThatReplacesItselfWasNotKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	p := startRecording(t, "replaces itself", path, "")
	require.Equal(t, "last run: none\n", p.out.await("last run: "))
	p.requireExit(0)
	require.Empty(t, p.warnings())
}

func TestABadDiskIsAWarningAndDelaysNothing(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("to mount a file system takes root")
	}
	for disk, want := range map[string]struct{ warning, lastRun string }{
		"full":      {"no space left on device", "none"},
		"read-only": {"read-only file system", `{"phase":"drain"`}, // it can be read
		"hanging":   {"the disk does not answer", "none"},
	} {
		t.Run(disk, func(t *testing.T) {
			t.Parallel()
			p := start(t, "disk is "+disk, func(cmd *exec.Cmd) {
				cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			})
			require.Contains(t, p.out.await("last run: "), want.lastRun)
			p.log.await(want.warning) // that of a slow disk comes after a second
			p.finishTask()
			p.requireExit(0)
			require.Equal(t, []string{"task", "close hook, in time"}, p.events())
		})
	}
}

func init() {
	maps.Copy(childScenarios, map[string]func(){
		"replaces itself": func() {
			m := newRecordingManager(shutdown.New)
			if _, again := os.LookupEnv("AGAIN"); again {
				shutdown.AwaitRecord(m)
				printLastRun(m)
				m.Begin(nil)
				exit(m)
			}
			for {
				if _, ok := readRecord(os.Getenv(recordEnv)); ok {
					break
				}
				time.Sleep(time.Millisecond)
			}
			panic(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), "AGAIN=1")))
		},
		"disk is full": func() {
			mount("tmpfs", "tmpfs", "size=16k")
			fill, err := os.Create("disk/fill")
			for err == nil {
				_, err = fill.Write(make([]byte, 4096))
			}
			recordOnBadDisk(shutdown.AwaitRecord)
		},
		"disk is read-only": func() {
			mount("tmpfs", "tmpfs", "")
			for name, text := range map[string]string{"record": `{"format":1,"report":{"phase":"drain"}}`, "record.lock": ""} {
				if err := os.WriteFile("disk/"+name, []byte(text), 0o600); err != nil {
					panic(err)
				}
			}
			if err := unix.Mount("", "disk", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				panic(err)
			}
			recordOnBadDisk(shutdown.AwaitRecord)
		},
		"disk is hanging": func() {
			mountDiskThatHangs()
			recordOnBadDisk(func(*shutdown.Manager) {}) // LastRun has to give up by itself
		},
	})
}

// mountDiskThatHangs mounts a file system whose server does not answer.
func mountDiskThatHangs() {
	server, err := unix.Open("/dev/fuse", unix.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	mount("fuse", "fuse", fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server))
}

func mount(source, fs, options string) {
	if err := os.Mkdir("disk", 0o700); err != nil {
		panic(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil { // not visible in other namespaces
		panic(err)
	}
	if err := unix.Mount(source, "disk", fs, 0, options); err != nil {
		panic(err)
	}
}

// newWithoutWaiting panics if New waits for the disk, as LastRun does for 250 ms.
// BenchmarkNewOnADiskThatHangs measures how long New takes.
func newWithoutWaiting() (m *shutdown.Manager) {
	const limit = 200 * time.Millisecond
	least := testclock.Awake(func() { m = newRecordingManager(shutdown.New) })
	for i := 0; i < 10 && least > limit; i++ { // the machine may be busy
		least = min(least, testclock.Awake(func() { newRecordingManager(shutdown.New) }))
	}
	if least > limit {
		panic(fmt.Sprint("New took ", least))
	}
	return m
}

// recordOnBadDisk shuts down with a task that ends when the parent closes stdin. The grace
// period is so long that a wait for the disk would show.
func recordOnBadDisk(await func(*shutdown.Manager)) {
	must(os.Setenv(recordEnv, "disk/record"))
	m := newWithoutWaiting()
	await(m)
	printLastRun(m)
	m.On(shutdown.Close, "close", func(ctx context.Context) error {
		event := "close hook" + inTime(ctx)
		record(event)
		return nil
	})
	m.Go("task", taskUntilStdinEnds)
	<-taskBegun
	m.Begin(nil)
	exit(m)
}
