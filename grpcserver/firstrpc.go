package grpcserver

import "encoding/binary"

// RFC 9113, sections 3.4 and 6.
const (
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader  = 9
	frameHeaders = 0x1
)

// firstRPC looks for the first RPC in what is read from a connection. It looks at
// nothing after that, and not at input that is not cleartext HTTP/2. Only the goroutine
// that reads uses it.
type firstRPC struct {
	done        bool // it does not look any more
	prefaceRead int  // bytes
	header      [frameHeader]byte
	have        int // bytes of header
	left        int // bytes of the payload
}

// read takes the next piece. It reports whether the first RPC starts in it.
func (f *firstRPC) read(b []byte) bool {
	if f.done {
		return false
	}
	if rest := len(preface) - f.prefaceRead; rest > 0 {
		n := min(rest, len(b))
		if string(b[:n]) != preface[f.prefaceRead:f.prefaceRead+n] {
			f.done = true
			return false
		}
		f.prefaceRead += n
		b = b[n:]
	}
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, len(b))
			f.left -= n
			b = b[n:]
			continue
		}
		n := copy(f.header[f.have:], b)
		f.have += n
		b = b[n:]
		if f.have < frameHeader {
			return false
		}
		f.have = 0
		f.left = int(binary.BigEndian.Uint32(f.header[:4]) >> 8)
		if f.header[3] == frameHeaders {
			f.done = true
			return true
		}
	}
	return false
}
