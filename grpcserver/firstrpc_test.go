package grpcserver

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func frame(kind byte, length int) []byte {
	f := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, 0, 0, 0, 0, 1}
	return append(f, bytes.Repeat([]byte{frameHeaders}, length)...)
}

// The first RPC is seen when the header of its HEADERS frame is complete.
func TestTheFirstRPCIsSeenWhateverTheSizeOfReads(t *testing.T) {
	const settings, windowUpdate = 0x4, 0x8
	before := bytes.Join([][]byte{[]byte(preface), frame(settings, 12), frame(settings, 0), frame(windowUpdate, 4), frame(0xfe, 20000)}, nil)
	all := append(bytes.Clone(before), frame(frameHeaders, 100)...)
	all = append(all, frame(frameHeaders, 50)...)
	for range 300 {
		var f firstRPC
		seen := -1
		for at := 0; at < len(all); {
			n := min(1+rand.IntN(40), len(all)-at)
			at += n
			if f.read(all[at-n : at]) {
				require.Negative(t, seen, "twice")
				seen = at
			}
		}
		require.GreaterOrEqual(t, seen, len(before)+frameHeader)
		require.Less(t, seen, len(before)+frameHeader+40)
	}
}

func TestInputThatIsNotHTTP2HasNoFirstRPC(t *testing.T) {
	var f firstRPC
	require.False(t, f.read([]byte("\x16\x03\x01 PRI * HTTP/2.0")))
	require.False(t, f.read(append([]byte(preface), frame(frameHeaders, 10)...)))
}
