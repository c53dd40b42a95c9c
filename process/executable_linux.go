//go:build !processgroup

package process

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
)

// checkExecutable returns an error if starting /proc/self/exe would not start
// this package as a reaper. It must not be tried: a dynamic linker or an
// interpreter in that place would take the reaper's arguments for a program to
// run.
var checkExecutable = sync.OnceValue(func() error {
	if info, ok := debug.ReadBuildInfo(); ok {
		if err := checkBuildMode(info); err != nil {
			return err
		}
	}
	return checkMappedFile()
})

// checkBuildMode refuses the modes in which another program has the main
// function. checkMappedFile does not notice c-archive, which is linked into that
// program.
func checkBuildMode(info *debug.BuildInfo) error {
	for _, setting := range info.Settings {
		if setting.Key == "-buildmode" && !strings.HasSuffix(setting.Value, "exe") && setting.Value != "pie" {
			return fmt.Errorf("the reaper is this program, started again, and a library built with -buildmode=%s is no program", setting.Value)
		}
	}
	return nil
}

// checkMappedFile compares the file that this code was loaded from with
// /proc/self/exe. They differ under "ld.so program", because the kernel has
// started the dynamic linker. What cannot be compared is accepted: the code may
// be in a memfd (UPX), or the file may have been removed.
func checkMappedFile() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil // starting the reaper gives a better error
	}
	const self = "/proc/self/exe"
	pc, _, _, _ := runtime.Caller(0)
	file := mappedFile(string(maps), uint64(pc))
	exe, err := os.Readlink(self)
	if err != nil || exe == file {
		return nil
	}
	code, err := os.Stat(file)
	if err != nil {
		return nil
	}
	if program, err := os.Stat(self); err != nil || os.SameFile(code, program) {
		return nil
	}
	return fmt.Errorf("the reaper is this program, started again from %s, but that is %s and not %s: run the program itself, not through ld.so", self, exe, file)
}

// mappedFile returns the file that is mapped at addr according to
// /proc/self/maps, or "".
func mappedFile(maps string, addr uint64) string {
	for line := range strings.Lines(maps) {
		addresses, _, _ := strings.Cut(line, " ")
		from, to, _ := strings.Cut(addresses, "-")
		first, _ := strconv.ParseUint(from, 16, 64)
		end, _ := strconv.ParseUint(to, 16, 64)
		if addr < first || addr >= end {
			continue
		}
		// The name is the sixth field, the first with a slash, and may have blanks.
		if fields := strings.Fields(line); len(fields) > 5 && fields[5][0] == '/' {
			return strings.TrimSuffix(line[strings.Index(line, "/"):], "\n")
		}
	}
	return ""
}
