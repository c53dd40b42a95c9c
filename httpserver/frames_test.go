package httpserver

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// However net/http cuts its writes, and however long it is kept from the next
// one: a frame of ours comes between two of its frames, or not at all.
func TestAFrameOfOursNeverComesInTheMiddleOfAnother(t *testing.T) {
	frame := func(kind, flags byte, size int) []byte {
		return append([]byte{byte(size >> 16), byte(size >> 8), byte(size), kind, flags, 0, 0, 0, 1}, make([]byte, size)...)
	}
	var stream []byte
	between := map[int]bool{0: true} // after so many bytes
	for _, f := range [][]byte{
		frame(4, 0, 0), frame(1, 4, 20), frame(0, 0, 5000), frame(1, 0, 300), frame(9, 0, 7), frame(9, 4, 0), frame(0, 1, 70_000), frame(0, 1, 1),
	} {
		stream = append(stream, f...)
		kind, flags := f[3], f[4]
		between[len(stream)] = kind != 1 && kind != 9 || flags == 4
	}
	for _, piece := range []int{1, 2, 9, 10, 100, 4096, len(stream)} {
		wire := &wire{}
		info := &conn{inner: wire}
		var outer net.Conn = &otherConn{wire, info}
		info.outer.Store(&outer)
		info.streams.used.Store(true)
		for sent := 0; ; {
			require.Equal(t, !between[sent], info.midFrame(), "%d bytes in pieces of %d", sent, piece)
			require.Equal(t, between[sent], info.writeFrame([]byte("ours")), "%d bytes in pieces of %d", sent, piece)
			require.Equal(t, between[sent], string(wire.last) == "ours")
			if sent == len(stream) {
				break
			}
			n, err := outer.Write(stream[sent:min(sent+piece, len(stream))])
			require.NoError(t, err)
			sent += n
		}
		info.writing.Lock() // while net/http is in Write
		require.True(t, info.midFrame())
		require.False(t, info.writeFrame([]byte("ours")))
		info.writing.Unlock()
	}
}

// A wire is a connection that keeps what was written last.
type wire struct {
	net.Conn
	last []byte
}

func (w *wire) Write(p []byte) (int, error) {
	w.last = p
	return len(p), nil
}
