//go:build !processgroup

package process

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLibrariesCannotHaveAReaper(t *testing.T) {
	for mode, want := range map[string]bool{
		"exe": true, "pie": true, "": true,
		"c-archive": false, "c-shared": false, "plugin": false, "shared": false,
	} {
		info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "-compiler", Value: "gc"}, {Key: "-buildmode", Value: mode}}}
		if mode == "" {
			info.Settings = info.Settings[:1]
		}
		err := checkBuildMode(info)
		require.Equal(t, want, err == nil, "%s: %v", mode, err)
	}
}

func TestTheMappedFileIsFoundByItsAddress(t *testing.T) {
	const maps = `00400000-00a00000 r-xp 00000000 fe:00 1234                               /opt/my app/bin
00a00000-00b00000 rw-p 00600000 fe:00 1234                               /opt/my app/bin
00b00000-00c00000 rw-p 00000000 00:00 0 
c000000000-c000400000 rw-p 00000000 00:00 0                              [anon:/heap]
7f0000000000-7f0000001000 r-xp 00000000 00:01 7                          /memfd:upX (deleted)
`
	for addr, want := range map[uint64]string{
		0x3fffff: "", 0x400000: "/opt/my app/bin", 0x9fffff: "/opt/my app/bin", 0xb00000: "",
		0xc000000000: "", 0x7f0000000fff: "/memfd:upX (deleted)", 0x7f0000001000: "",
	} {
		require.Equal(t, want, mappedFile(maps, addr), "%x", addr)
	}
}
