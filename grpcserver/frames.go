package grpcserver

import "encoding/binary"

// Of HTTP/2, RFC 9113, sections 3.4 and 6.
const (
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader  = 9
	frameHeaders = 0x1
)

// firstRPC looks for the first RPC in what is read from a connection, and at
// nothing after that. What is not HTTP/2, because it is encrypted, is left alone.
// It is for the goroutine that reads.
type firstRPC struct {
	deaf    bool // it looks no longer
	skipped int  // of the preface
	header  [frameHeader]byte
	have    int // bytes of the next header
	rest    int // bytes of the present frame that are still to come
}

// read takes the next piece, and reports whether the first RPC begins in it.
func (f *firstRPC) read(b []byte) bool {
	if f.deaf {
		return false
	}
	if rest := len(preface) - f.skipped; rest > 0 {
		n := min(rest, len(b))
		if string(b[:n]) != preface[f.skipped:f.skipped+n] {
			f.deaf = true
			return false
		}
		f.skipped += n
		b = b[n:]
	}
	for len(b) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(b))
			f.rest -= n
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
		f.rest = int(binary.BigEndian.Uint32(f.header[:4]) >> 8)
		if f.header[3] == frameHeaders {
			f.deaf = true
			return true
		}
	}
	return false
}
