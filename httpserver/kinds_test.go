package httpserver_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/gracefulgo/shutdown"
)

// A kind is a kind of request. It is cut off by the deadline and by force, unless it ends
// in time.
type kind struct {
	name    string
	pattern string
	serve   func(*trial, http.ResponseWriter, *http.Request)
	send    func(*trial) string // by the client; returns what it has got
	late    bool                // it is sent when requests should end, or have been cut off
	alone   bool                // under Middleware without Start
	prepare func(*trial)        // nil for nothing
	http1   bool                // not over HTTP/2
	ends    []string            // nil for all
	client  map[string]string   // what the client gets, if that is certain
}

// getNow sends a request without a body.
func getNow(s *trial) string { return s.request(nil) }

// getLate sends a first request to establish the connection: once the base context of
// the server has ended, net/http does no more TLS handshakes.
func getLate(s *trial) string {
	if got := s.request(nil); got != "200" {
		return got + " before the shutdown"
	}
	s.began <- struct{}{}
	s.untilOver()
	return s.request(nil)
}

func serveAtOnce(_ *trial, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }

func answer200(s *trial, w http.ResponseWriter, r *http.Request) {
	s.work(r)
	_, _ = io.WriteString(w, "done")
}

var kinds = []kind{
	{
		name: "answered 503", pattern: "GET /answered-503/{id}", send: getNow,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			s.work(r)
			http.Error(w, "gave up", http.StatusServiceUnavailable)
		},
		client: map[string]string{inTime: "503", deadline: "503"},
	},
	{
		name: "answered 200", pattern: "GET /answered-200/{id}", send: getNow, serve: answer200,
		client: map[string]string{inTime: "200", deadline: "200"},
	},
	{
		name: "answered 200, Middleware", pattern: "GET /answered-200/{id}", send: getNow, serve: answer200, alone: true,
		prepare: func(s *trial) { s.m.On(shutdown.Drain, "serve on", s.untilServed) },
		client:  map[string]string{inTime: "200", deadline: "200"},
	},
	{
		name: "started late, answered 200, Middleware", pattern: "GET /late/{id}", send: getLate, serve: serveAtOnce, late: true, alone: true,
		prepare: func(s *trial) { s.m.On(shutdown.Drain, "serve on", s.untilServed) },
		client:  map[string]string{inTime: "200", deadline: "200", forced: "200"},
	},
	{
		// A server of Start accepts new requests in Leave, which only force can cut
		// short.
		name: "started late, answered 200", pattern: "GET /late/{id}", send: getLate, serve: serveAtOnce, late: true,
		prepare: func(s *trial) { s.m.On(shutdown.Leave, "serve on", s.untilServed) },
		ends:    []string{inTime, forced},
		client:  map[string]string{inTime: "200", forced: "200"},
	},
	{
		// The header of the first response is sent before the shutdown, so it has no
		// "Connection: close".
		name: "pipelined behind another", pattern: "GET /pipelined/{id}", http1: true,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			if r.PathValue("id") == "18" {
				serveAtOnce(s, w, r)
				return
			}
			_ = http.NewResponseController(w).Flush()
			s.work(r)
		},
		send: func(s *trial) string {
			c := s.dial()
			c.send("GET /pipelined/17 HTTP/1.1\r\nHost: test\r\n\r\nGET /pipelined/18 HTTP/1.1\r\nHost: test\r\n\r\n")
			got := ""
			for range 2 {
				resp, err := http.ReadResponse(c.r, nil)
				if err != nil {
					return got + "cut off"
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					return got + "cut off"
				}
				got += strconv.Itoa(resp.StatusCode) + " "
			}
			return strings.TrimSpace(got)
		},
		ends:   []string{inTime, deadline}, // with force it depends on timing
		client: map[string]string{inTime: "200 200", deadline: "200 cut off"},
	},
	{
		name: "does not return", pattern: "GET /never/{id}", send: getNow,
		serve: func(s *trial, _ http.ResponseWriter, _ *http.Request) {
			s.began <- struct{}{}
			<-s.over
		},
		client: map[string]string{inTime: "200", deadline: "cut off", forced: "cut off"},
	},
	{
		name: "SSE", pattern: "GET /sse/{id}", send: getNow,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: hello\n\n")
			_ = http.NewResponseController(w).Flush()
			s.work(r)
		},
		client: map[string]string{inTime: "200", deadline: "200"},
	},
	{
		name: "upload", pattern: "POST /upload/{id}",
		serve: func(s *trial, _ http.ResponseWriter, r *http.Request) {
			s.began <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body) // does not depend on the context
		},
		send: func(s *trial) string {
			body, w := io.Pipe()
			defer body.Close()
			go func() {
				_, _ = io.WriteString(w, "half")
				<-s.over
				_, _ = io.WriteString(w, "the rest")
				_ = w.Close()
			}()
			return s.request(body)
		},
		client: map[string]string{inTime: "200", deadline: "cut off", forced: "cut off"},
	},
	{
		name: "WebSocket", pattern: "GET /websocket/{id}", http1: true, send: upgrade,
		serve: func(s *trial, w http.ResponseWriter, r *http.Request) {
			if conn := accept(w); conn != nil {
				defer conn.Close()
				s.work(r)
				_, _ = io.WriteString(conn, "closed\n")
			}
		},
		client: map[string]string{inTime: "closed", deadline: "closed", forced: "closed"},
	},
	{
		name: "WebSocket, does not return", pattern: "GET /websocket/{id}/never", http1: true, send: upgrade,
		serve: func(s *trial, w http.ResponseWriter, _ *http.Request) {
			if conn := accept(w); conn != nil {
				defer conn.Close()
				s.began <- struct{}{}
				<-s.over
				_, _ = io.WriteString(conn, "closed\n")
			}
		},
		client: map[string]string{inTime: "closed", deadline: "cut off", forced: "cut off"},
	},
}

// accept hijacks the connection. It returns nil if that is not possible.
func accept(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	return conn
}

func upgrade(s *trial) string {
	c := s.dial()
	c.send("GET " + s.path() + " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	if resp, err := http.ReadResponse(c.r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return "not upgraded"
	}
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) == 0 {
		return "cut off"
	}
	return strings.TrimSpace(string(rest))
}
