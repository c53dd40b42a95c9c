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

// AwaitRecord waits until m has read the record of the last run and has written its own.
// LastRun waits for at most 250 ms.
func AwaitRecord(m *Manager) {
	for m.message.Saving() || m.record != nil && m.record.Saving() {
		time.Sleep(time.Millisecond)
	}
}

// AwaitLog waits until all log lines of m are written. At the end of a shutdown m waits for at
// most 100 ms.
func AwaitLog(m *Manager) { m.log.Flush(time.Minute) }

// NewOverwriting is New with a record that is overwritten in place, slowly and piece by piece,
// and not replaced atomically.
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
