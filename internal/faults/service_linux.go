package faults

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

// Environment variables of a child.
const (
	planVariable    = "FAULTS_PLAN"    // the plan as JSON; makes the test binary a service
	recordVariable  = "FAULTS_RECORD"  // the path for Config.Record
	withoutVariable = "FAULTS_WITHOUT" // if set, the service does not use the library
)

// journalDescriptor is the child's end of the pipe to the parent.
const journalDescriptor = 3

// maxStreams is the HTTP/2 server's limit.
const maxStreams = 16

// A service is the program of a child.
type service struct {
	plan     Plan
	m        *shutdown.Manager // nil in the control without the library
	watching sync.WaitGroup    // waits for the events that watch adds
	journal  *journal
	addr     string        // of the server
	never    chan struct{} // is not closed
	cutOff   atomic.Bool   // in the control without the library: the timeout has passed
	seen     sync.Map      // names that arrived has added to the journal
}

// isChild reports whether this process was started as a service.
func isChild() bool { return os.Getenv(planVariable) != "" }

// serve is the main function of a child. It does not return.
func serve() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the parent has died
	}()
	s := &service{journal: &journal{w: os.NewFile(journalDescriptor, "journal")}, never: make(chan struct{})}
	if err := json.Unmarshal([]byte(os.Getenv(planVariable)), &s.plan); err != nil {
		panic(err)
	}
	if os.Getenv(withoutVariable) != "" {
		s.runWithout()
	}
	s.run()
}

func table(name string) map[os.Signal]shutdown.Action {
	switch name {
	case tableImmediate:
		return map[os.Signal]shutdown.Action{syscall.SIGHUP: shutdown.Graceful, syscall.SIGTERM: shutdown.Immediate}
	case tableGraceful:
		return map[os.Signal]shutdown.Action{
			syscall.SIGTERM: shutdown.Graceful, syscall.SIGHUP: shutdown.Graceful, syscall.SIGINT: shutdown.Graceful,
		}
	}
	return nil
}

func recordPath(p Plan) string {
	if !p.Record {
		return ""
	}
	return os.Getenv(recordVariable)
}

// arrived adds the first request of a name to the journal: of requests that are too
// many for the journal, or that do not reach a handler.
func (s *service) arrived(name string) {
	if _, again := s.seen.LoadOrStore(name, true); !again {
		s.journal.note(requestArrived, name)
	}
}

func newServer(h http.Handler) *http.Server {
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams}}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // it would log each faulty client
	return srv
}

func (s *service) listen(srv *http.Server) (addr string, err error) {
	ln, err := listener.Listen(context.Background(), "tcp", loopback.Addr())
	if err != nil {
		return "", err
	}
	_, err = httpserver.Serve(s.m, srv, ln)
	return ln.Addr().String(), err
}

func (s *service) breakDisk(moment string) {
	if s.plan.Disk == "" || s.plan.DiskBreaks != moment {
		return
	}
	if err := breakDisk(s.plan.Disk); err != nil {
		s.journal.add(Event{Kind: unavailable, Name: "disk " + s.plan.Disk, Error: err.Error()})
	}
}
