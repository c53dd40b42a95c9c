package faults

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// dialTimeout and answerTimeout are longer than any service lives.
const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 20 * time.Second
)

var modes = map[string]load.Mode{"new connections": load.NewConn, "keep-alive": load.KeepAlive, "HTTP/2": load.HTTP2}

// A faultyClient breaks one rule of the protocol, or one expectation, until ctx
// ends. Its own requests are not checked.
type faultyClient func(ctx context.Context, addr, tlsAddr string)

var faultyClients = map[string]faultyClient{
	slowHeader: func(ctx context.Context, addr, _ string) {
		talk(ctx, addr, func(c net.Conn) {
			for _, b := range []byte("POST / HTTP/1.1\r\nHost: test\r\nX-Padding: " + strings.Repeat("x", 1<<10)) {
				if _, err := c.Write([]byte{b}); err != nil || !pause(ctx, 20*time.Millisecond) {
					return
				}
			}
		})
	},
	stalledReader: func(ctx context.Context, addr, _ string) {
		talk(ctx, addr, func(c net.Conn) {
			_, _ = io.WriteString(c, "GET /big HTTP/1.1\r\nHost: test\r\n\r\n")
			<-ctx.Done()
		})
	},
	halfClosed: func(ctx context.Context, addr, _ string) {
		talk(ctx, addr, func(c net.Conn) {
			_, _ = io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
			_ = c.(*net.TCPConn).CloseWrite() // the server may have closed the connection
			_, _ = io.Copy(io.Discard, c)
			<-ctx.Done()
		})
	},
	tlsHandshake: func(ctx context.Context, _, tlsAddr string) {
		var begun sync.WaitGroup
		defer begun.Wait()
		begun.Go(func() {
			talk(ctx, tlsAddr, func(c net.Conn) {
				_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1}) // the start of a ClientHello of 512 bytes
				<-ctx.Done()
			})
		})
		talk(ctx, tlsAddr, func(c net.Conn) {
			t := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is self-signed
			_ = t.HandshakeContext(ctx)
			<-ctx.Done()
		})
	},
	stoppedUpload: func(ctx context.Context, addr, _ string) {
		talk(ctx, addr, func(c net.Conn) {
			_, _ = io.WriteString(c, "POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n9\r\nwor")
			<-ctx.Done()
		})
	},
	streamLimit: func(ctx context.Context, addr, _ string) {
		talk(ctx, addr, func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }() // talk closes c
			_, _ = io.WriteString(c, http2Preface)
			for i := uint32(0); ctx.Err() == nil; i++ {
				if _, err := c.Write(http2Get(2*i+1, "/slow")); err != nil {
					return
				}
				if i%(2*maxStreams) == 0 && !pause(ctx, 50*time.Millisecond) {
					return
				}
			}
		})
	},
	rapidReset: func(ctx context.Context, addr, _ string) {
		talk(ctx, addr, func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, _ = io.WriteString(c, http2Preface)
			for i := uint32(0); ctx.Err() == nil; i++ {
				if _, err := c.Write(append(http2Get(2*i+1, "/reset"), http2Reset(2*i+1)...)); err != nil {
					return
				}
				if i%100 == 0 && !pause(ctx, 10*time.Millisecond) {
					return
				}
			}
		})
	},
	hijackedClosed: func(ctx context.Context, addr, _ string) { upgrade(ctx, addr, "/hijack/closed") },
	hijackedHeld:   func(ctx context.Context, addr, _ string) { upgrade(ctx, addr, "/hijack/held") },
	callsItself: func(ctx context.Context, addr, _ string) {
		for ctx.Err() == nil {
			failed := true
			talk(ctx, addr, func(c net.Conn) {
				_, _ = io.WriteString(c, "GET /self HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
				n, _ := io.Copy(io.Discard, c)
				failed = n == 0
			})
			if failed {
				return
			}
		}
	},
}

func upgrade(ctx context.Context, addr, path string) {
	talk(ctx, addr, func(c net.Conn) {
		_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
		<-ctx.Done()
	})
}

// talk runs f with a new connection, which it closes when f returns or ctx ends. It
// does nothing if the dial fails.
func talk(ctx context.Context, addr string, f func(net.Conn)) {
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return // refused, or descriptors are exhausted
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	f(c)
}

// pause waits for d. It reports false, at once, if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// http2Preface is what a client sends first: the connection preface, an empty
// SETTINGS frame, and the acknowledgement of the server's, which it does not wait
// for.
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"

// http2Get returns a HEADERS frame with a complete request, GET path. The first three
// header fields are in HPACK's static table.
func http2Get(stream uint32, path string) []byte {
	block := append([]byte{0x82, 0x86, 0x04, byte(len(path))}, path...)
	block = append(append(block, 0x01, 4), "test"...) // :authority
	return append(http2Header(len(block), 1, 0x5, stream), block...)
}

// http2Reset returns a RST_STREAM frame with the code CANCEL.
func http2Reset(stream uint32) []byte { return append(http2Header(4, 3, 0, stream), 0, 0, 0, 8) }

func http2Header(length int, kind, flags byte, stream uint32) []byte {
	return []byte{0, byte(length >> 8), byte(length), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
}

// requests sends the requests of the plan's work, from well-behaved clients.
type requests struct {
	wg   sync.WaitGroup
	mu   sync.Mutex // protects list
	list []Request
}

// start sends the request for the i-th piece of work. The response body has to be the
// body that was sent, whatever the status.
func (r *requests) start(ctx context.Context, addr string, i int) {
	r.wg.Go(func() {
		name := fmt.Sprintf("/work/%d", i)
		var sent atomic.Bool
		err := post(ctx, "http://"+addr+name, fmt.Sprintf("body of %d", i), &sent)
		out := Request{Name: "POST " + name, Sent: sent.Load(), Answered: err == nil}
		if err != nil {
			out.Error = err.Error()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, out)
	})
}

func (r *requests) wait() []Request {
	r.wg.Wait()
	return r.list
}

func post(ctx context.Context, url, body string, sent *atomic.Bool) error {
	ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) { sent.Store(info.Err == nil) },
	}), answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.GetBody = nil // so that it is not sent twice
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && string(answer) != body {
		err = fmt.Errorf("status %d and the answer %.80q", resp.StatusCode, answer)
	}
	return err
}
