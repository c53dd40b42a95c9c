package httpserver

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// However net/http cuts its writes, and however long it is kept from the next
// one: a frame of ours comes between two of its frames, or not at all.
func TestAFrameOfOursNeverComesInTheMiddleOfAnother(t *testing.T) {
	frame := func(kind, flags byte, size int) []byte {
		id := byte(0)
		if kind != 4 { // SETTINGS are the connection's
			id = 1
		}
		return append([]byte{byte(size >> 16), byte(size >> 8), byte(size), kind, flags, 0, 0, 0, id}, make([]byte, size)...)
	}
	var stream []byte
	between := map[int]bool{0: false} // after so many bytes; nothing comes before SETTINGS
	for _, f := range [][]byte{
		frame(4, 0, 12), frame(1, 4, 20), frame(0, 0, 5000), frame(1, 0, 300), frame(9, 0, 7), frame(9, 4, 0), frame(0, 1, 70_000), frame(0, 1, 1),
	} {
		stream = append(stream, f...)
		kind, flags := f[3], f[4]
		between[len(stream)] = kind != 1 && kind != 9 || flags == 4
	}
	for _, piece := range []int{1, 2, 9, 10, 100, 4096, len(stream)} {
		sent := &sink{}
		info := newWire(noKey{Conn: sent})
		outer := info.outer
		info.streams.used.Store(true)
		for at := 0; ; {
			require.Equal(t, !between[at], info.midFrame(), "%d bytes in pieces of %d", at, piece)
			require.Equal(t, between[at], info.writeFrame([]byte("ours")), "%d bytes in pieces of %d", at, piece)
			require.Equal(t, between[at], string(sent.last) == "ours")
			if at == len(stream) {
				break
			}
			n, err := outer.Write(stream[at:min(at+piece, len(stream))])
			require.NoError(t, err)
			at += n
		}
		info.writing.Lock() // while net/http is in Write
		require.True(t, info.midFrame())
		require.False(t, info.writeFrame([]byte("ours")))
		info.writing.Unlock()
	}
}

// settings is an empty SETTINGS frame, the first of each HTTP/2 connection.
var settings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}

// In TLS frames cannot be seen. What net/http writes once it has called the
// connection active comes after its SETTINGS, or is them.
func TestInTLSAFrameOfOursWaitsForSettings(t *testing.T) {
	_, server := connected(t)
	all := conns{counted: true}
	watched := all.add(server)
	info := all.find(watched).wire
	inTLS := net.Conn(tls.Server(watched, nil))
	all.changed(inTLS, http.StateNew)
	_, err := watched.Write([]byte("of the handshake"))
	require.NoError(t, err)
	require.False(t, info.settled())
	require.False(t, info.writeFrame(bye))

	all.changed(inTLS, http.StateActive)
	require.False(t, info.settled())
	require.False(t, info.writeFrame(bye))
	_, err = watched.Write([]byte("SETTINGS"))
	require.NoError(t, err)
	require.True(t, info.settled())

	all.changed(inTLS, http.StateIdle)
	all.changed(inTLS, http.StateActive)
	require.True(t, info.settled(), "it is so once and for all")
}

func TestWhatIsNotHTTP2IsNotLookedThrough(t *testing.T) {
	for _, begins := range []string{"HTTP/1.1 200 OK\r\n", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76", "\x16\x03\x03\x04\x00\x02\x00\x00\x76"} {
		var f frames
		f.wrote([]byte(begins))
		require.True(t, f.other, "%q", begins)
	}
}

// A sink is a connection that keeps what was written last.
type sink struct {
	net.Conn
	last []byte
}

func (s *sink) Write(p []byte) (int, error) {
	s.last = p
	return len(p), nil
}

// newWire is what add makes of a connection where it is counted.
func newWire(c net.Conn) *wire {
	all := conns{counted: true}
	return all.find(all.add(c)).wire
}

// noKey is a connection that cannot be a map key.
type noKey struct {
	net.Conn
	_ []int
}
