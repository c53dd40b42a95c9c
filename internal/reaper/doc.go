// Package reaper ends everything below this process. It is the machinery of the
// reaper that package process starts for each tree, and of cmd/shutdown-init.
//
// It works because the process that uses it is the init of what is below it:
// pid 1, or a subreaper. An orphan comes to it, so nothing below can get away;
// and when wait4 says ECHILD nothing is left. That is a fact of the kernel, and
// not the result of a search. Linux only.
package reaper
