package listener

import (
	"net"
	"os"
	"sync"
)

// A socketPath is the path of a Unix socket that this package has bound. The kernel
// keeps the file's inode as long as the socket is open, so comparing the file shows
// whether the path still belongs to this socket or to another one bound since.
type socketPath struct {
	name string
	file os.FileInfo
	once sync.Once
}

// pathOf returns nil if the listener has no path.
func pathOf(ln net.Listener) *socketPath {
	u, ok := ln.(*net.UnixListener)
	if !ok {
		return nil
	}
	name := u.Addr().String()
	if name == "" || name[0] == '@' { // an abstract socket
		return nil
	}
	file, err := os.Lstat(name)
	if err != nil {
		return nil // it has been removed
	}
	// net.UnixListener would remove the path on Close even if another socket has
	// been bound there since.
	u.SetUnlinkOnClose(false)
	return &socketPath{name: name, file: file}
}

func (p *socketPath) remove() {
	p.once.Do(func() {
		if now, err := os.Lstat(p.name); err == nil && os.SameFile(p.file, now) {
			_ = os.Remove(p.name) // package net ignores this error too
		}
	})
}
