package faults

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// breakDisk makes the disk of this process full, read-only or hanging. It cannot be
// undone: a seccomp filter answers the system calls with which package shutdown
// writes its record. It needs no privilege.
func breakDisk(fault string) error {
	var filter []unix.SockFilter
	flags := unix.SECCOMP_FILTER_FLAG_TSYNC
	switch fault {
	case diskFull:
		filter = append(filter, openWith(unix.O_EXCL, unix.ENOSPC)...)
	case diskReadOnly:
		filter = append(openWith(unix.O_CREAT, unix.EROFS), onCall(unix.SYS_UNLINKAT, unix.SECCOMP_RET_ERRNO|uint32(unix.EROFS))...)
	case diskHangs, diskHangsLock:
		call := uint32(unix.SYS_RENAMEAT)
		if fault == diskHangsLock {
			call = unix.SYS_FLOCK
		}
		// The notification is never read, so the call does not return.
		filter = append(filter, onCall(call, unix.SECCOMP_RET_USER_NOTIF)...)
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})

	runtime.LockOSThread() // no_new_privs, which the second call needs, is set for this thread
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // a dozen
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("installing a seccomp filter: %w", errno)
	}
	return nil
}

// Offsets in the kernel's struct seccomp_data, and the number of openat's argument
// flags.
const (
	atCall     = 0
	atArgument = 16
	openFlags  = 2
)

// onCall returns the part of a filter that answers a system call.
func onCall(call uint32, answer uint32) []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: atCall},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: answer},
	}
}

// openWith returns the part of a filter that makes openat fail if flag is set.
func openWith(flag uint32, errno unix.Errno) []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: atCall},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: atArgument + 8*openFlags}, // on a little-endian machine
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: flag, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
	}
}
