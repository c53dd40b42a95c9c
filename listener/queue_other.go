//go:build !unix

package listener

import "syscall"

// queued reports how many connections an Accept call would find. Here nobody
// can know.
func queued(syscall.RawConn) (n int, ok bool) { return 0, false }
