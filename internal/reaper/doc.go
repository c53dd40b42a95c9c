// Package reaper stops all descendants of the process that uses it. Package process
// runs it in the reaper of each tree, and cmd/shutdown-init runs it as PID 1.
//
// The process that uses it has to be PID 1 or a subreaper: then the kernel makes it
// the parent of every orphan below it, so no descendant can get away, and wait4
// returns ECHILD when, and only when, none is left. Linux only.
package reaper
