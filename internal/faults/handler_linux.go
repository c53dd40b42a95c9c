package faults

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP handles the requests of both servers. Those of the load are for "/".
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Method + " " + r.URL.Path
	if !unjournaled[name] {
		s.journal.note(workStarted, name)
		defer s.ended(name)
	}
	switch {
	case r.URL.Path == "/":
		s.echo(w, r)
		if s.isCut() {
			s.ended(name)
		}
	case strings.HasPrefix(r.URL.Path, "/work/"):
		s.work(w, r)
	case r.URL.Path == "/big":
		part := make([]byte, 64<<10)
		for {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	case r.URL.Path == "/upload":
		_, _ = io.Copy(w, r.Body) // the client stops sending, so this ends with the connection
	case strings.HasPrefix(r.URL.Path, "/hijack/"):
		s.hijack(w, r)
	case r.URL.Path == "/self":
		s.callItself(w, r)
	case r.URL.Path == "/slow":
		time.Sleep(100 * time.Millisecond)
	case r.URL.Path == "/reset":
		s.arrived(name)
		<-r.Context().Done()
	}
}

// echo answers as package load requires.
func (s *service) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.plan.MemoryMiB > 0 {
		garbage := make([]byte, 512<<10)
		body = append(garbage[:0:len(garbage)], body...)
	}
	time.Sleep(s.plan.Load.Takes.D())
	_, _ = w.Write(body)
}

// work does the plan's piece of work that is named in the path.
func (s *service) work(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/work/"))
	if err != nil || i >= len(s.plan.Work) {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch work := s.plan.Work[i]; work.Does {
	case workStops:
		if s.m != nil {
			<-s.m.AcceptContext().Done()
		}
		time.Sleep(work.Takes.D())
	case workGivesUp, workLate:
		<-r.Context().Done()
		if work.Does == workGivesUp {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	case workHangs:
		<-s.never
	default:
		time.Sleep(work.Takes.D())
	}
	_, _ = w.Write(body)
}

// hijack holds a connection until the shutdown begins, or until the client closes it,
// which it does not do.
func (s *service) hijack(w http.ResponseWriter, r *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	if s.m != nil && r.URL.Path == "/hijack/closed" {
		<-s.m.AcceptContext().Done()
		return
	}
	_, _ = io.Copy(io.Discard, conn)
}

// callItself sends a request to its own server, which refuses the connection once it
// drains.
func (s *service) callItself(w http.ResponseWriter, r *http.Request) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+s.addr+"/", strings.NewReader("x"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(w, resp.Body)
}
