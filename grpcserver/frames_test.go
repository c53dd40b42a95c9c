package grpcserver

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// sink is a connection that keeps what is written.
type sink struct {
	net.Conn
	bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error) { return s.Buffer.Write(b) }
func (s *sink) Read(b []byte) (int, error)  { return s.Buffer.Read(b) }

func frame(kind, flags byte, length int) []byte {
	f := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags, 0, 0, 0, 1}
	return append(f, bytes.Repeat([]byte{kind}, length)...)
}

// Cut anywhere, what is written has our frame where one ends, and never inside
// of a header block.
func TestOurGoAwayStandsBetweenFrames(t *testing.T) {
	frames := [][]byte{
		frame(frameSettings, 0, 12), frame(frameSettings, 1, 0),
		frame(frameHeaders, 0, 100), frame(frameContinuation, 0, 20), frame(frameContinuation, flagEndHeaders, 5),
		frame(0, 0, 16384), frame(0, 1, 0), frame(frameHeaders, flagEndHeaders|1, 30), frame(8, 0, 4),
	}
	all := bytes.Join(frames, nil)
	allowed := map[int]bool{} // offsets
	offset := 0
	for i, f := range frames {
		offset += len(f)
		allowed[offset] = i < 2 || i > 3
	}
	for cut := range len(all) + 1 {
		var to sink
		f := &framed{Conn: &to, conn: &conn{raw: &raw{Conn: &to}}}
		for rest := all[:cut]; len(rest) > 0; {
			n := 1 + rand.IntN(len(rest))
			_, err := f.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.True(t, f.untold())
		require.Equal(t, allowed[cut], f.tell(), "after %d bytes", cut)
		if allowed[cut] {
			require.False(t, f.untold())
			require.True(t, f.tell(), "a second time, for nothing")
		}
		want := all[:cut]
		if allowed[cut] {
			want = append(bytes.Clone(want), goAway...)
		}
		require.True(t, bytes.Equal(want, to.Bytes()))
	}
}

// A second GOAWAY must not name a higher stream than the first.
func TestAfterGRPCsGoAwayThereIsNoneOfOurs(t *testing.T) {
	var to sink
	f := &framed{Conn: &to, conn: &conn{raw: &raw{Conn: &to}}}
	all := append(frame(frameSettings, 0, 12), frame(frameGoAway, 0, 15)...)
	for _, b := range all {
		_, err := f.Write([]byte{b})
		require.NoError(t, err)
	}
	require.False(t, f.untold())
	require.True(t, f.tell())
	require.Equal(t, all, to.Bytes())
}

func TestWhatIsNotHTTP2IsLeftAlone(t *testing.T) {
	for name, first := range map[string][]byte{
		"TLS":              {22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3},
		"TLS like a frame": {22, 3, 3, 4, 0, 2, 0, 0, 118, 3, 3},
		"text":             []byte("HTTP/1.1 400 Bad Request\r\n"),
	} {
		var to sink
		f := &framed{Conn: &to, conn: &conn{raw: &raw{Conn: &to}}}
		_, err := f.Write(first)
		require.NoError(t, err)
		require.True(t, f.tell(), name)
		require.Equal(t, first, to.Bytes(), name)
	}
}

func TestTheFirstRPCIsSeenHoweverItIsRead(t *testing.T) {
	before := append([]byte(preface), frame(frameSettings, 0, 6)...)
	before = append(before, frame(8, 0, 4)...)
	for range 200 {
		var from sink
		c := &conn{conns: new(conns)}
		f := &framed{Conn: &from, conn: c}
		read := func(b []byte) {
			from.Buffer.Write(b)
			for from.Len() > 0 {
				_, err := f.Read(make([]byte, 1+rand.IntN(20)))
				require.NoError(t, err)
			}
		}
		read(before)
		require.False(t, c.spoken.Load())
		read(frame(frameHeaders, flagEndHeaders, 50))
		require.True(t, c.spoken.Load())
		require.True(t, f.deaf, "no more is looked at")
	}
	c := &conn{conns: new(conns)}
	f := &framed{Conn: &sink{}, conn: c}
	f.listen([]byte("PRI * HTTP/1.0"))
	require.True(t, f.deaf)
}
