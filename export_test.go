package shutdown

import (
	"os"
	"time"
)

// NewInPod is New where path is the termination log.
func NewInPod(cfg Config, path string) (*Manager, error) {
	e := processEnv()
	e.postmortem.TerminationLog = path
	return newManager(cfg, e)
}

// AwaitRecord waits until m knows what the record says and has written its own.
// LastRun does not wait for a disk, or a machine, that is as slow as it likes.
func AwaitRecord(m *Manager) {
	for m.message.Saving() || m.record != nil && m.record.Saving() {
		time.Sleep(time.Millisecond)
	}
}

// AwaitLog waits until what m has to log is written. At the end of a shutdown m
// waits 100 ms for a log that is late, or less.
func AwaitLog(m *Manager) { m.log.Flush(time.Minute) }

// NewOverwriting is New on a disk that has nothing atomic about it: a record is
// overwritten in place, piece by piece, as a slow disk does.
func NewOverwriting(cfg Config) (*Manager, error) {
	e := processEnv()
	e.postmortem.Disk.Write = func(path string, text []byte) error {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for len(text) > 0 {
			n := min(64, len(text))
			if _, err := f.Write(text[:n]); err != nil {
				return err
			}
			text = text[n:]
			time.Sleep(50 * time.Microsecond)
		}
		return nil
	}
	return newManager(cfg, e)
}
