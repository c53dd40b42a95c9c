package httpserver

// frames follows the HTTP/2 frames in what is written to a connection. net/http
// writes one in several pieces, and may be kept from the next for as long as it
// pleases the scheduler.
type frames struct {
	first  bool // has been seen
	other  bool // what is written is not HTTP/2 in clear text
	header [9]byte
	have   int  // bytes of header
	left   int  // bytes of the frame behind it
	more   bool // its CONTINUATION has to be the next
}

func (f *frames) wrote(p []byte) {
	for len(p) > 0 && !f.other {
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
			if !f.first { // RFC 9113 3.4; a status line and a record of TLS are not like that
				f.first = true
				f.other = f.header[3] != settings || [4]byte(f.header[5:]) != [4]byte{}
			}
			switch f.header[3] {
			case headers, pushPromise, continuation:
				f.more = f.header[4]&endHeaders == 0
			}
		}
	}
}

// between reports whether another frame may follow what was written. Nothing may
// come before net/http's SETTINGS, which may still wait for the processor when
// the first request is being handled: to the client that is a protocol error.
func (f *frames) between() bool { return f.first && f.have == 0 && f.left == 0 && !f.more }

// midFrame reports whether a frame of HTTP/2 in clear text is being written. Of
// one in TLS nobody can know.
func (c *wire) midFrame() bool {
	if !c.clearHTTP2() {
		return false
	}
	if !c.writing.TryLock() {
		return true
	}
	defer c.writing.Unlock()
	return !c.frames.between()
}

func (c *wire) clearHTTP2() bool { return !c.inTLS && c.streams.used.Load() }

// writeFrame writes a frame of our own past net/http. It reports false, and does
// not, if another one is being written.
func (c *wire) writeFrame(frame []byte) bool {
	if !c.clearHTTP2() {
		if !c.settled() {
			return false
		}
		_, _ = c.outer.Write(frame) // if the connection is gone, so are its requests
		return true
	}
	if !c.writing.TryLock() {
		return false
	}
	defer c.writing.Unlock()
	if !c.frames.between() {
		return false
	}
	_, _ = c.inner().Write(frame)
	return true
}

// settled reports whether net/http has written its SETTINGS on an HTTP/2
// connection in TLS, where frames cannot be seen: it writes them, or what comes
// after them, once it has called the connection active.
func (c *wire) settled() bool {
	at := c.activeAt.Load()
	return at > 0 && c.ended.Load() >= at
}
