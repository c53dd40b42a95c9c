package httpserver

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// net/http may write a frame in any number of pieces, with any pause between them.
func TestAFrameIsWrittenOnlyBetweenTheFramesOfNetHTTP(t *testing.T) {
	frame := func(kind, flags byte, size int) []byte {
		id := byte(0)
		if kind != 4 { // SETTINGS have no stream
			id = 1
		}
		return append([]byte{byte(size >> 16), byte(size >> 8), byte(size), kind, flags, 0, 0, 0, id}, make([]byte, size)...)
	}
	var stream []byte
	boundary := map[int]bool{0: false} // by the number of bytes written; no frame may precede SETTINGS
	for _, f := range [][]byte{
		frame(4, 0, 12), frame(1, 4, 20), frame(0, 0, 5000), frame(1, 0, 300), frame(9, 0, 7), frame(9, 4, 0), frame(0, 1, 70_000), frame(0, 1, 1),
	} {
		stream = append(stream, f...)
		kind, flags := f[3], f[4]
		boundary[len(stream)] = kind != 1 && kind != 9 || flags == 4
	}
	for _, piece := range []int{1, 2, 9, 10, 100, 4096, len(stream)} {
		sent := &sink{}
		info := newWire(noKey{Conn: sent})
		outer := info.c.outer()
		info.streams.used.Store(true)
		for at := 0; ; {
			require.Equal(t, !boundary[at], info.midFrame(), "%d bytes in pieces of %d", at, piece)
			require.Equal(t, boundary[at], info.writeFrame([]byte("ours")), "%d bytes in pieces of %d", at, piece)
			require.Equal(t, boundary[at], string(sent.last) == "ours")
			if at == len(stream) {
				break
			}
			n, err := outer.Write(stream[at:min(at+piece, len(stream))])
			require.NoError(t, err)
			at += n
		}
		info.writeMu.Lock() // as during a Write of net/http
		require.True(t, info.midFrame())
		require.False(t, info.writeFrame([]byte("ours")))
		info.writeMu.Unlock()
	}
}

// settings is an empty SETTINGS frame, the first of each HTTP/2 connection.
var settings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}

// In TLS, frames cannot be seen. The first write after net/http has reported the state
// active is the SETTINGS frame or comes after it.
func TestInTLSAFrameIsWrittenOnlyAfterSettings(t *testing.T) {
	_, server := connected(t)
	all := conns{countIO: true}
	watched := all.add(server)
	info := all.find(watched).wire()
	inTLS := net.Conn(tls.Server(watched, nil))
	all.setState(inTLS, http.StateNew)
	_, err := watched.Write([]byte("of the handshake"))
	require.NoError(t, err)
	require.False(t, info.settingsSent())
	require.False(t, info.writeFrame(goAway))

	all.setState(inTLS, http.StateActive)
	require.False(t, info.settingsSent())
	require.False(t, info.writeFrame(goAway))
	_, err = watched.Write([]byte("SETTINGS"))
	require.NoError(t, err)
	require.True(t, info.settingsSent())

	all.setState(inTLS, http.StateIdle)
	all.setState(inTLS, http.StateActive)
	require.True(t, info.settingsSent(), "this does not change any more")
}

func TestOutputThatIsNotHTTP2IsNotParsed(t *testing.T) {
	for _, begins := range []string{"HTTP/1.1 200 OK\r\n", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76", "\x16\x03\x03\x04\x00\x02\x00\x00\x76"} {
		var f frames
		f.follow([]byte(begins))
		require.True(t, f.notHTTP2, "%q", begins)
	}
}

// A sink is a connection that keeps the last write.
type sink struct {
	net.Conn
	last []byte
}

func (s *sink) Write(p []byte) (int, error) {
	s.last = p
	return len(p), nil
}

// newWire returns the wire of a connection whose reads and writes are counted.
func newWire(c net.Conn) *wire {
	all := conns{countIO: true}
	return all.find(all.add(c)).wire()
}

// noKey is a connection that cannot be a map key.
type noKey struct {
	net.Conn
	_ []int
}
