package postmortem

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// bootID is another one after each start of the machine. All containers on it
// have the same.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // unknown if it cannot be read
	return strings.TrimSpace(string(id))
}

// startTime is when process pid started, in clock ticks since the machine did;
// 0 if there is no such process, or if it has ended and only waits for its
// parent. A pid is used again, and in a container is always 1: with this, and
// bootID, it means one process.
func startTime(pid int) uint64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is a name, which may have blanks and brackets in it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, start = 0, 19 // the third and the twenty-second field
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return 0
	}
	ticks, _ := strconv.ParseUint(fields[start], 10, 64)
	return ticks
}
