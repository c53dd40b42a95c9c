//go:build !unix

package listener

import "syscall"

// queued would return the length of the accept queue; it cannot be known here.
func queued(syscall.RawConn) (n int, ok bool) { return 0, false }
