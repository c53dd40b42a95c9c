package httpserver

// frames follows the HTTP/2 frames in what is written to a connection. net/http writes
// a frame in several pieces, and any amount of time may pass between two of them.
type frames struct {
	sawFirst   bool // a frame
	notHTTP2   bool // what is written is not cleartext HTTP/2
	header     [9]byte
	have       int  // bytes of header
	left       int  // bytes of the payload
	incomplete bool // a CONTINUATION frame has to come next
}

func (f *frames) follow(p []byte) {
	for len(p) > 0 && !f.notHTTP2 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left, p = f.left-n, p[n:]
			continue
		}
		n := copy(f.header[f.have:], p)
		f.have, p = f.have+n, p[n:]
		if f.have == len(f.header) {
			f.have, f.left = 0, int(f.header[0])<<16|int(f.header[1])<<8|int(f.header[2])
			const settings, headers, pushPromise, continuation, endHeaders = 0x4, 0x1, 0x5, 0x9, 0x4
			if !f.sawFirst { // RFC 9113 3.4; a status line and a TLS record differ from that
				f.sawFirst = true
				f.notHTTP2 = f.header[3] != settings || [4]byte(f.header[5:]) != [4]byte{}
			}
			switch f.header[3] {
			case headers, pushPromise, continuation:
				f.incomplete = f.header[4]&endHeaders == 0
			}
		}
	}
}

// atBoundary reports whether another frame may follow what was written. No frame may
// come before net/http's SETTINGS: the client would treat that as a protocol error. The
// SETTINGS may not be written yet when the first request is being handled.
func (f *frames) atBoundary() bool {
	return f.sawFirst && f.have == 0 && f.left == 0 && !f.incomplete
}
