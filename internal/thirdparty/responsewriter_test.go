package thirdparty

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	h3 "github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"
)

var (
	all     = []protocol{http1, http1TLS, http2TLS, overQUIC}
	onlyOne = []protocol{http1, http1TLS}
)

// A behaviour of ResponseWriters is one that net/http documents, or on which much code
// depends.
type behaviour struct {
	name      string
	protocols []protocol // nil means all
	handle    func(*site, http.ResponseWriter, *http.Request)
	ask       func(*site) // nil means one GET
	file      bool        // record what the connection's ReadFrom gets
}

// differs has the behaviours that are documented as different, and why.
var differs = map[string]string{
	"methods by assertion": "http.ResponseController, which net/http says to use, finds them by Unwrap",
	"TLS connection":       "Start's documentation: what NetConn of a *tls.Conn returns embeds the listener's",

	// net/http uses a private method, requestTooLarge, which no wrapper can have.
	"MaxBytesReader, 400":   "a client that goes on sending has no answer: the status has to be 413",
	"MaxBytesReader, 200":   "the same",
	"413 of something else": "it closes the connection too",
}

// differsLate has the behaviours that also differ for requests that arrive while the
// server drains.
var differsLate = map[string]string{
	"MaxBytesReader, 400": "it is answered at once, as without",
	"MaxBytesReader, 200": "it is answered at once, as without",
	"pipelined requests":  "the first answer says that the connection ends, and so it does",
}

// withoutClose removes "Connection: close" from what was recorded.
func withoutClose(text string) string {
	return strings.NewReplacer(", close", "", "close", "", "Connection: close | ", "", " | Connection: close", "").Replace(text)
}

func TestAResponseWriterBehavesAsWithoutTheLibrary(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "behaviour\tprotocol\twithout\twith httpserver\twhile it drains")
	for _, b := range behaviours {
		seen, different := false, false
		protocols := b.protocols
		if protocols == nil {
			protocols = all
		}
		for _, p := range protocols {
			var plain, library, late string
			t.Run(b.name+" "+string(p), func(t *testing.T) {
				t.Run("without", func(t *testing.T) { plain = b.observe(t, p, without) })
				t.Run("with", func(t *testing.T) { library = b.observe(t, p, with) })
				t.Run("draining", func(t *testing.T) { late = b.observe(t, p, draining) })
				if differsLate[b.name] == "" {
					require.Equal(t, withoutClose(library), withoutClose(late), "while it drains")
				}
				if differs[b.name] == "" {
					require.Equal(t, plain, library)
				}
			})
			seen = seen || plain != "" // empty if -run excludes the test
			verdict := "the same"
			if library != plain {
				verdict, different = library, true
			}
			lateVerdict := "the same"
			if withoutClose(late) != withoutClose(library) {
				lateVerdict = late
			} else if late != library {
				lateVerdict = "the same, and close"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", b.name, p, plain, verdict, lateVerdict)
		}
		if seen && !different && differs[b.name] != "" {
			t.Errorf("%s: there is no difference any more", b.name)
		}
	}
	w.Flush()
	for _, name := range slices.Sorted(maps.Keys(differs)) {
		fmt.Fprintf(&table, "%s: %s\n", name, differs[name])
	}
	for _, name := range slices.Sorted(maps.Keys(differsLate)) {
		fmt.Fprintf(&table, "%s, while it drains: %s\n", name, differsLate[name])
	}
	t.Logf("\n%s", table.String())
}

func (b behaviour) observe(t *testing.T, p protocol, how how) string {
	s := newSite(t, p, how, b)
	if b.ask != nil {
		b.ask(s)
	} else {
		s.request(http.MethodGet, nil, nil)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.handled("the handler has not returned")
	}
	return s.text()
}

// request sends a request and records the response: status, some headers, body and
// trailers.
func (s *site) request(method string, header http.Header, body io.Reader) {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			s.saw("%d %s", code, header.Get("Link"))
			return nil
		},
	})
	req, err := http.NewRequestWithContext(ctx, method, s.url, body)
	require.NoError(s, err)
	maps.Copy(req.Header, header)
	resp, err := s.client.Do(req)
	if err != nil {
		s.saw("error %s", kindOf(err))
		return
	}
	defer resp.Body.Close()
	s.response(resp)
}

func (s *site) response(resp *http.Response) {
	body, err := io.ReadAll(resp.Body)
	var more []string
	for _, name := range []string{"Content-Type", "Content-Length", "Connection", "Transfer-Encoding", "Link", "X-From"} {
		if v := resp.Header.Get(name); v != "" {
			more = append(more, name+": "+v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(resp.Trailer)) {
		more = append(more, "trailer "+name+": "+resp.Trailer.Get(name))
	}
	if resp.Close {
		more = append(more, "close")
	}
	if len(body) > 20 {
		body = fmt.Appendf(nil, "%d bytes", len(body))
	}
	s.saw("%d %q %s %s", resp.StatusCode, body, strings.Join(more, ", "), kindOf(err))
}

// kindOf returns the error's text without what changes from run to run.
func kindOf(err error) string {
	var op *net.OpError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case errors.Is(err, http.ErrNotSupported):
		return "not supported"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "EOF"
	case errors.As(err, &op):
		return op.Op + " error"
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

func has[T any](w http.ResponseWriter) bool {
	_, ok := w.(T)
	return ok
}

type (
	flushErrorer interface{ FlushError() error }
	deadliner    interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	}
	fullDuplexer interface{ EnableFullDuplex() error }
)

var behaviours = []behaviour{
	{name: "interfaces", handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		s.handled("Flusher %v, FlushError %v, Hijacker %v, ReaderFrom %v, StringWriter %v, Pusher %v, CloseNotifier %v",
			has[http.Flusher](w), has[flushErrorer](w), has[http.Hijacker](w), has[io.ReaderFrom](w), has[io.StringWriter](w),
			has[http.Pusher](w), has[http.CloseNotifier](w)) //nolint:staticcheck // it is deprecated, but net/http has it
	}},
	{name: "methods by assertion", handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		s.handled("deadlines %v, EnableFullDuplex %v", has[deadliner](w), has[fullDuplexer](w))
	}},
	{name: "Settingser and HTTPStreamer", protocols: []protocol{overQUIC}, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		s.handled("%v %v", has[h3.Settingser](w), has[h3.HTTPStreamer](w))
	}},
	{name: "a small answer", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }},
	{name: "a big answer", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 300<<10)) }},
	{name: "HEAD", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") },
		ask: func(s *site) { s.request(http.MethodHead, nil, nil) }},
	{name: "no body allowed", handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotModified)
		_, err := io.WriteString(w, "body")
		s.handled("%v", err)
	}},
	{name: "more than Content-Length", handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, err := io.WriteString(w, "body")
		s.handled("%v", err)
	}},
	{name: "two statuses", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK)
	}},
	{name: "an invalid status", handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		defer func() { s.handled("panic %v", recover()) }()
		w.WriteHeader(42)
	}},
	{name: "ErrAbortHandler", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, ask: fails},
	{name: "Connection: close by the handler", protocols: []protocol{http1, http1TLS, http2TLS}, handle: func(_ *site, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
	}},
	{name: "Flusher", handle: flush(func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil }), ask: whileHandled},
	{name: "FlushError", handle: flush(func(w http.ResponseWriter) error { return w.(flushErrorer).FlushError() }), ask: whileHandled},
	{name: "ResponseController.Flush", handle: flush(func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() }), ask: whileHandled},
	{name: "Hijacker", protocols: onlyOne, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		hijack(s, w, w.(http.Hijacker).Hijack)
	}, ask: raw("GET / HTTP/1.1\r\nHost: x\r\n\r\nmore")},
	{name: "ResponseController.Hijack", protocols: onlyOne, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		hijack(s, w, http.NewResponseController(w).Hijack)
	}, ask: raw("GET / HTTP/1.1\r\nHost: x\r\n\r\nmore")},
	{name: "no Hijacker", protocols: []protocol{http2TLS, overQUIC}, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		s.handled("%s", kindOf(err))
	}},
	{name: "TLS connection", protocols: []protocol{http1TLS}, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			s.Error(err)
			return
		}
		defer conn.Close()
		s.handled("%T", conn.(interface{ NetConn() net.Conn }).NetConn())
	}, ask: raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
	{name: "ReaderFrom, a file", file: true, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		file, err := os.Open(bigFile(s))
		if err != nil {
			s.Error(err)
			return
		}
		defer file.Close()
		w.Header().Set("Content-Length", "250000")
		n, err := io.Copy(w, file)
		s.handled("%d %v", n, err)
	}},
	{name: "ServeFile", file: true, handle: func(s *site, w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, bigFile(s))
	}},
	{name: "Pusher", protocols: []protocol{http2TLS}, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		s.handled("%s", kindOf(w.(http.Pusher).Push("/other", nil)))
	}},
	{name: "CloseNotifier", protocols: []protocol{http1, http1TLS, http2TLS}, handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		select {
		case v := <-w.(http.CloseNotifier).CloseNotify(): //nolint:staticcheck // it is deprecated, but net/http has it
			s.handled("closed %v", v)
		case <-time.After(patience):
			s.handled("nothing")
		}
	}, ask: leaveEarly},
	{name: "the context of a client that leaves", handle: func(s *site, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			s.handled("%v", r.Context().Err())
		case <-time.After(patience):
			s.handled("nothing")
		}
	}, ask: leaveEarly},
	{name: "SetReadDeadline", handle: func(s *site, w http.ResponseWriter, r *http.Request) {
		s.handled("%s", kindOf(http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second))))
		_, err := io.ReadAll(r.Body)
		s.handled("%s", kindOf(err))
	}, ask: stalledBody},
	{name: "SetWriteDeadline", handle: func(s *site, w http.ResponseWriter, _ *http.Request) {
		s.handled("%s", kindOf(http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second))))
		_, err := w.Write(make([]byte, 1<<20))
		s.handled("failed %v", err != nil)
	}, ask: fails},
	{name: "EnableFullDuplex", handle: func(s *site, w http.ResponseWriter, r *http.Request) {
		s.handled("%s", kindOf(http.NewResponseController(w).EnableFullDuplex()))
		half := make([]byte, 4)
		_, err := io.ReadFull(r.Body, half)
		s.handled("%q %s", half, kindOf(err))
		_, _ = w.Write(half)
		_ = http.NewResponseController(w).Flush()
		rest, err := io.ReadAll(r.Body)
		s.handled("%q %s", rest, kindOf(err))
		_, _ = w.Write(rest)
	}, ask: inTwoHalves},
	{name: "103", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-From", "handler")
		_, _ = io.WriteString(w, "body")
	}},
	{name: "trailers", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Declared")
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("Declared", "one")
		w.Header().Set(http.TrailerPrefix+"Undeclared", "two")
	}},
	{name: "MaxBytesReader, 413", handle: tooLarge(http.StatusRequestEntityTooLarge), ask: keepSending},
	{name: "MaxBytesReader, 400", handle: tooLarge(http.StatusBadRequest), ask: keepSending},
	{name: "MaxBytesReader, 200", handle: tooLarge(0), ask: keepSending},
	{name: "MaxBytesReader, flushed", handle: func(s *site, w http.ResponseWriter, r *http.Request) {
		tooLarge(http.StatusRequestEntityTooLarge)(s, w, r)
		_ = http.NewResponseController(w).Flush()
	}, ask: keepSending},
	{name: "MaxBytesHandler", handle: func(s *site, w http.ResponseWriter, r *http.Request) {
		http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			s.handled("%s", kindOf(err))
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}), 1000).ServeHTTP(w, r)
	}, ask: keepSending},
	{name: "413 of something else", handle: func(_ *site, w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}, ask: func(s *site) { s.request(http.MethodPost, nil, strings.NewReader("hello")) }},
	{name: "a body that is not read", handle: func(_ *site, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") },
		ask: func(s *site) { s.request(http.MethodPost, nil, strings.NewReader(strings.Repeat("a", 10000))) }},
	{name: "Expect: 100-continue", protocols: []protocol{http1, http1TLS, http2TLS}, handle: func(s *site, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		s.handled("%q %s", body, kindOf(err))
	}, ask: func(s *site) {
		s.client.Transport.(*http.Transport).ExpectContinueTimeout = patience
		s.request(http.MethodPost, http.Header{"Expect": {"100-continue"}}, strings.NewReader("hello"))
	}},
	{name: "Expect, and the body is not read", protocols: onlyOne, handle: func(_ *site, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}, ask: raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")},
	{name: "Expect, and the header is written first", protocols: onlyOne, handle: func(s *site, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		body, err := io.ReadAll(r.Body)
		s.handled("%q %s", body, kindOf(err))
	}, ask: raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")},
	{name: "HTTP/1.0", protocols: onlyOne, handle: func(_ *site, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
	}, ask: raw("GET / HTTP/1.0\r\n\r\n")},
	{name: "pipelined requests", protocols: onlyOne, handle: func(_ *site, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}, ask: raw("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")},
	{name: "TimeoutHandler, in time", handle: func(_ *site, w http.ResponseWriter, r *http.Request) {
		http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-From", "handler")
			_, _ = io.WriteString(w, "in time")
		}), soon, "too late").ServeHTTP(w, r)
	}},
	{name: "TimeoutHandler, too late", handle: func(_ *site, w http.ResponseWriter, r *http.Request) {
		http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
			time.Millisecond, "too late").ServeHTTP(w, r)
	}},
	{name: "ReverseProxy", handle: proxy(nil)},
	{name: "ReverseProxy with 103 and trailers", handle: proxy(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "Declared")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("Declared", "one")
	})},
	{name: "ReverseProxy with an upgrade", protocols: onlyOne, handle: proxy(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, line)
	}), ask: func(s *site) {
		conn := s.dial()
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		require.NoError(s, err)
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(s, err)
		_, _ = io.WriteString(conn, "hello\n") // the answer shows an error
		echoed, err := io.ReadAll(r)
		s.saw("%d %s %q %s", resp.StatusCode, resp.Header.Get("Upgrade"), echoed, kindOf(err))
		conn.Close()
	}},
}

// fails sends a request whose response does not complete. How much of the response
// arrives depends on timing, so it is not recorded.
func fails(s *site) {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	require.NoError(s, err)
	resp, err := s.client.Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	s.saw("failed %v, in time %v", err != nil, ctx.Err() == nil)
}

func flush(how func(http.ResponseWriter) error) func(*site, http.ResponseWriter, *http.Request) {
	return func(s *site, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first")
		s.handled("%s", kindOf(how(w)))
		select {
		case <-r.Context().Done(): // the client has got the first part
		case <-time.After(patience):
			s.handled("the client has got nothing")
		}
	}
}

// whileHandled reads the first part of a response while the handler runs, and then
// closes the connection.
func whileHandled(s *site) {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	require.NoError(s, err)
	resp, err := s.client.Do(req)
	if err != nil {
		s.saw("error %s", kindOf(err))
		return
	}
	defer resp.Body.Close()
	first := make([]byte, 5)
	_, err = io.ReadFull(resp.Body, first)
	s.saw("%q %s", first, kindOf(err))
}

func hijack(s *site, w http.ResponseWriter, how func() (net.Conn, *bufio.ReadWriter, error)) {
	conn, rw, err := how()
	if err != nil {
		s.handled("%s", kindOf(err))
		return
	}
	defer conn.Close()
	_, writeErr := io.WriteString(w, "late")
	_, _, again := how()
	more := make([]byte, 4)
	_, err = io.ReadFull(rw, more)
	s.handled("%T, read %q %s, Write: %v, again: %v", conn, more, kindOf(err), writeErr, again)
	_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhijacked")
	_ = rw.Flush() // the client notices an error
}

// raw sends the text, and records what comes back.
func raw(text string) func(*site) {
	return func(s *site) {
		conn := s.dial()
		_, err := io.WriteString(conn, text)
		require.NoError(s, err)
		var lines []string
		var rest error
		for r, empty := bufio.NewReader(conn), false; rest == nil; {
			var line string
			line, rest = r.ReadString('\n')
			line = strings.TrimSpace(line)
			if line == "" && empty {
				break // the connection stays open, so there is no EOF
			}
			empty = empty || line == "Content-Length: 0"
			if line != "" && !strings.HasPrefix(line, "Date:") {
				lines = append(lines, line)
			}
		}
		s.saw("%s %s", strings.Join(lines, " | "), kindOf(rest))
	}
}

// leaveEarly cancels the request when the handler has been called.
func leaveEarly(s *site) {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	go func() {
		<-s.entered
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	require.NoError(s, err)
	resp, err := s.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
}

// stalledBody sends the start of a body, and no more.
func stalledBody(s *site) {
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, "begin") }()
	s.request(http.MethodPost, nil, r)
}

// inTwoHalves sends the second half of a body after the first has been echoed.
func inTwoHalves(s *site) {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, "one ") }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, r)
	require.NoError(s, err)
	resp, err := s.client.Do(req)
	if err != nil {
		s.saw("error %s", kindOf(err))
		return
	}
	defer resp.Body.Close()
	half := make([]byte, 4)
	_, err = io.ReadFull(resp.Body, half)
	s.saw("%q %s", half, kindOf(err))
	go func() {
		_, _ = io.WriteString(w, "two")
		w.Close()
	}()
	rest, err := io.ReadAll(resp.Body)
	s.saw("%q %s", rest, kindOf(err))
}

func tooLarge(status int) func(*site, http.ResponseWriter, *http.Request) {
	return func(s *site, w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
		var limit *http.MaxBytesError
		s.handled("%v", errors.As(err, &limit))
		if status != 0 {
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, "too large")
	}
}

// keepSending sends more than the limit, and then stalls before the end of the body.
func keepSending(s *site) {
	if s.protocol == http1 || s.protocol == http1TLS {
		conn := s.dial()
		_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("a", 2000))
		require.NoError(s, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			s.saw("no answer while it sends: %s", kindOf(err))
			return
		}
		defer resp.Body.Close()
		s.response(resp)
		return
	}
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, strings.Repeat("a", 2000)) }()
	s.request(http.MethodPost, http.Header{}, r)
}

func bigFile(s *site) string {
	name := filepath.Join(s.TempDir(), "file.txt")
	if err := os.WriteFile(name, []byte(strings.Repeat("text ", 50_000)), 0o600); err != nil {
		s.Error(err)
	}
	return name
}

// proxy returns a handler that is a ReverseProxy in front of a net/http server.
func proxy(backend http.HandlerFunc) func(*site, http.ResponseWriter, *http.Request) {
	if backend == nil {
		backend = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-From", "backend")
			_, _ = io.WriteString(w, "body")
		}
	}
	return func(_ *site, w http.ResponseWriter, r *http.Request) {
		srv := httptest.NewServer(backend)
		defer srv.Close()
		target, err := url.Parse(srv.URL)
		if err != nil {
			panic(err)
		}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		p := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
		p.ServeHTTP(w, r)
	}
}
