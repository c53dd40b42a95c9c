package shutdown

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Kubernetes shows so much of a container's termination message.
const maxTerminationLog = 4096

// A terminationLog keeps a summary where kubectl describe pod shows it, also if
// the process is killed. The file is there in every pod, empty at first.
type terminationLog struct {
	path  string
	state func() Report

	file *os.File
	last []byte // what we have written
	off  bool   // there is no such file, or it has become somebody else's
}

// save overwrites the file in place: it is a mount, and cannot be replaced. One
// write of less than a page is not cut in half by a kill.
func (l *terminationLog) save() {
	if l.off || l.file == nil && !l.open() {
		return
	}
	state := l.state()
	there, err := io.ReadAll(io.NewSectionReader(l.file, 0, maxTerminationLog+1))
	if err != nil || !bytes.Equal(there, l.last) && (l.last != nil || !ours(there)) {
		l.close() // the program has written a message of its own, which matters more
		return
	}
	text := []byte(state.summary())
	// Blanks over what was longer before, because a kill may come between the
	// write and Truncate.
	over := append(bytes.Clone(text), bytes.Repeat([]byte(" "), max(0, len(there)-len(text)))...)
	if _, err = l.file.WriteAt(over, 0); err == nil {
		err = l.file.Truncate(int64(len(text)))
	}
	l.last = text
	if err != nil || state.Phase == Done {
		l.close()
	}
}

// open does not create the file, and leaves alone what is not one.
func (l *terminationLog) open() bool {
	if info, err := os.Lstat(l.path); err == nil && info.Mode().IsRegular() {
		l.file, _ = os.OpenFile(l.path, os.O_RDWR, 0) // read-only, or another user's: not for us
	}
	l.off = l.file == nil
	return !l.off
}

func (l *terminationLog) close() {
	l.off = true
	l.file.Close()
}

// ours reports whether text is nobody's, or of a Manager that ran in the same
// container before.
func ours(text []byte) bool {
	return len(text) == 0 || bytes.HasPrefix(text, []byte("shutdown: "))
}

// summary is the Report for the termination log: where it is in a line, and
// the timeline.
func (r Report) summary() string {
	var s strings.Builder
	if r.Phase != Running && r.Phase != Done {
		s.WriteString("shutdown: " + r.inShort() + "\n" + r.ifKilledHere())
	}
	if r.Phase == Done && r.timedOut() && adviseOnGuess(r.GraceSource) {
		s.WriteString("shutdown: " + adviceOnGuess + "\n")
	}
	s.WriteString(r.String())
	return truncate(s.String(), maxTerminationLog)
}

// What a kill says about the grace period. It came after the last time that was
// written, within a second. Advice errs on the side of a grace period that is too
// short, because with one that is too long the kill comes first.

// killedEarly is what the next start says, from the record. Where the grace period
// was told, a kill by hand or for memory is as likely as a wrong one.
func (r Report) killedEarly() string {
	early := r.GracePeriod - r.Took
	if r.Phase == Running || r.Forced != nil || r.Took < 2*time.Second || early < 2*time.Second {
		return "" // no platform grants less; who forces the end may kill as well
	}
	or := fmt.Sprintf(", or %s if a preStop hook took the rest", envPreStop)
	if strings.Contains(r.GraceSource, envPreStop) {
		or = ", which counts from SIGTERM, and unset " + envPreStop
	}
	unless := ""
	if !r.guessed() {
		unless = "unless it was killed by hand or for memory, "
	}
	return fmt.Sprintf("; killed %v before the expected time: %sthe real grace period is about %v; set %s=%d%s",
		early.Round(time.Second), unless, r.Took.Truncate(time.Second), envGracePeriod, int(r.Took.Seconds()), or)
}

// ifKilledHere is what the termination log says meanwhile.
func (r Report) ifKilledHere() string {
	s := fmt.Sprintf("%v after %s, kill expected at %v", r.Took.Truncate(time.Second), r.startedBy(), round(r.GracePeriod))
	if r.guessed() {
		s += " (guessed)"
	}
	if r.Forced == nil && r.Took < r.GracePeriod-time.Second {
		s += fmt.Sprintf(": if it was killed here, set %s=%d", envGracePeriod, max(1, int(r.Took.Seconds())))
	}
	return s + "\n"
}
