package postmortem

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A Disk is the file system as a Record needs it, or what a test puts in its place: one
// that is full, or hangs.
type Disk struct {
	Lock  func(path string) (io.Closer, error) // ErrLocked if another process has it; the kernel releases it when its holder dies
	Read  func(path string) ([]byte, error)
	Write func(path string, text []byte) error // all of it or nothing, whenever the process is killed
}

// ProcessDisk is the Disk of this process.
var ProcessDisk = Disk{Lock: lockFile, Read: readFile, Write: writeFile}

// ErrLocked says that another process has the lock.
var ErrLocked = errors.New("locked")

// MaxRecord is far more than any record. What is longer is something else.
const MaxRecord = 4 << 20

func readFile(path string) ([]byte, error) {
	// To open a pipe would wait for a writer, and a device such as /dev/null
	// looks like an empty file, which could be replaced.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("what is there is no regular file (%v); left unchanged", info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxRecord+1))
	if err == nil && len(text) > MaxRecord {
		err = errors.New("too long for a record")
	}
	return text, err
}

// writeFile writes beside path and renames. There is no fsync: what a killed
// process has written stays in the page cache, and a disk that takes a second
// to sync would make the record a second older than it has to be.
func writeFile(path string, text []byte) error {
	beside := path + ".tmp"
	_ = os.Remove(beside) // of a run that was killed; and O_EXCL follows nobody's link
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if closed := f.Close(); err == nil {
		err = closed // NFS has no room only now
	}
	if err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		_ = os.Remove(beside)
	}
	return err
}

// openLock opens a file that is there to be locked. It may be another user's:
// to lock a file one need not be able to write to it, but for NFS.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		if readOnly, err := os.Open(path); err == nil {
			return readOnly, nil
		}
	}
	return f, err
}
