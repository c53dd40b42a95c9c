package postmortem

import (
	"bytes"
	"io"
	"os"
)

// MaxTermination is how much of a termination message Kubernetes shows.
const MaxTermination = 4096

// A Termination keeps a message where kubectl describe pod shows it, also if the
// process is killed. The file is there in every pod, empty at first.
type Termination struct {
	Keeper
	text func() (text string, last bool)

	file *os.File
	was  []byte // what we have written
	off  bool   // there is no such file, or the program uses it itself
}

// NewTermination returns a Termination that asks text for what to write, at most
// MaxTermination bytes; the last is the end of it. Messages that begin with ours are
// those of an earlier run in the same container.
func NewTermination(e Env, text func() (text string, last bool), ours string, warn func(msg string, args ...any)) *Termination {
	t := &Termination{text: text}
	t.Path, t.warn = e.TerminationLog, warn
	t.save = func() { t.write([]byte(ours)) }
	return t
}

// write overwrites the file in place: it is a mount, and cannot be replaced. A write of
// less than a page is not cut in half by a kill.
func (t *Termination) write(ours []byte) {
	if t.off || t.file == nil && !t.open() {
		return
	}
	message, last := t.text()
	there, err := io.ReadAll(io.NewSectionReader(t.file, 0, MaxTermination+1))
	isOurs := bytes.Equal(there, t.was)
	if t.was == nil {
		isOurs = len(there) == 0 || bytes.HasPrefix(there, ours)
	}
	if err != nil || !isOurs {
		t.close() // the program has written a message of its own, which matters more
		return
	}
	text := []byte(message)
	// Blanks overwrite what was longer before, because a kill may come between the
	// write and Truncate.
	over := append(bytes.Clone(text), bytes.Repeat([]byte(" "), max(0, len(there)-len(text)))...)
	if _, err = t.file.WriteAt(over, 0); err == nil {
		err = t.file.Truncate(int64(len(text)))
	}
	t.was = text
	if err != nil || last {
		t.close()
	}
}

// open does not create the file, and leaves alone what is not a file.
func (t *Termination) open() bool {
	if info, err := os.Lstat(t.Path); err == nil && info.Mode().IsRegular() {
		t.file, _ = os.OpenFile(t.Path, os.O_RDWR, 0) // read-only, or another user's: not for us
	}
	t.off = t.file == nil
	return !t.off
}

func (t *Termination) close() {
	t.off = true
	t.file.Close()
}
