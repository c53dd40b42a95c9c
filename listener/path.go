package listener

import (
	"net"
	"os"
	"sync"
)

// A socketPath is where a Unix socket of ours is to be dialled. The kernel keeps
// the file's inode as long as the socket is open, so the file tells whether the
// path is still this socket's or a successor's.
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
		return nil // removed already
	}
	// net.UnixListener would remove the path when it is closed, whoever has it
	// by then.
	u.SetUnlinkOnClose(false)
	return &socketPath{name: name, file: file}
}

func (p *socketPath) remove() {
	p.once.Do(func() {
		if now, err := os.Lstat(p.name); err == nil && os.SameFile(p.file, now) {
			_ = os.Remove(p.name) // as in package net, nobody wants to know
		}
	})
}
