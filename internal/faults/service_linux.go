package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

// The environment of a child.
const (
	planVariable    = "FAULTS_PLAN"    // the plan as JSON; makes the test binary a service
	recordVariable  = "FAULTS_RECORD"  // the path for Config.Record
	withoutVariable = "FAULTS_WITHOUT" // set: the same service without the library
)

// journalDescriptor is that of the pipe to the parent.
const journalDescriptor = 3

// maxStreams is the HTTP/2 server's limit.
const maxStreams = 16

// A service is what the child runs.
type service struct {
	plan    Plan
	m       *shutdown.Manager // nil in the control without the library
	journal *journal
	addr    string        // of the server
	never   chan struct{} // is not closed
}

// isChild reports whether this process was started as a service.
func isChild() bool { return os.Getenv(planVariable) != "" }

// serve is the child's main. It does not return.
func serve() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the parent has died, and nobody else would end this
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

func (s *service) run() {
	quiet := goleak.IgnoreCurrent()
	there := openDescriptors()
	p := s.plan
	s.breakDisk(inStartUp)
	var err error
	s.m, err = shutdown.New(shutdown.Config{
		GracePeriod: p.Timeout.D() + time.Second,
		Timeout:     p.Timeout.D(),
		LameDuck:    p.LameDuck.D(),
		Reserve:     p.Reserve.D(),
		Signals:     table(p.Table),
		Record:      recordPath(p),
		Logger:      slog.New(newLogger(p, os.Stderr)),
	})
	if err != nil {
		panic(err)
	}
	s.journal.note(started, "")
	if err := s.start(); err != nil {
		s.m.Begin(err)
	}

	err = s.m.Wait()
	code := shutdown.ExitCode(err)
	report := s.m.Report()
	end := &End{ExitCode: code, Report: report, Result: resultOf(report)}
	if err != nil {
		end.Error = err.Error()
	}
	s.journal.add(Event{Kind: waited, End: end})
	if s.shouldBeQuiet(end) {
		s.lookForLeaks(quiet, there)
	}
	s.journal.note(lastEvent, "")
	os.Exit(code)
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

// start is the start-up of the program. A signal may come at any point of it.
func (s *service) start() error {
	half := len(s.plan.Hooks) / 2
	s.registerAll(s.plan.Hooks[:half])
	s.register(Hook{Name: "mark " + inLeave, Phase: inLeave})
	s.register(Hook{Name: "mark " + inDrain, Phase: inDrain})
	time.Sleep(s.plan.StartUp.D())

	var tlsAddr string
	if s.plan.Clients[tlsHandshake] > 0 {
		config, err := selfSigned()
		if err != nil {
			return err
		}
		if tlsAddr, err = s.listen(&http.Server{Handler: s, TLSConfig: config}); err != nil {
			return err
		}
	}
	addr, err := s.listen(newServer(s))
	if err != nil {
		return err
	}
	s.addr = addr
	for i, w := range s.plan.Work {
		s.startWork(i, w)
	}
	s.registerAll(s.plan.Hooks[half:])
	s.register(Hook{Name: "mark " + inClose, Phase: inClose})
	if n := s.plan.Descriptors; n > 0 {
		limitDescriptors(n)
	}
	s.journal.add(Event{Kind: listening, Name: addr, TLS: tlsAddr})
	return nil
}

func newServer(h http.Handler) *http.Server {
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams}}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // it writes of each faulty client
	return srv
}

func (s *service) listen(srv *http.Server) (addr string, err error) {
	ln, err := listener.Listen(context.Background(), "tcp", loopback.Addr())
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), httpserver.StartListener(s.m, srv, ln)
}

func (s *service) breakDisk(moment string) {
	if s.plan.Disk == "" || s.plan.DiskBreaks != moment {
		return
	}
	if err := breakDisk(s.plan.Disk); err != nil {
		s.journal.add(Event{Kind: unavailable, Name: "disk " + s.plan.Disk, Error: err.Error()})
	}
}

// limitDescriptors leaves room for so many more than there are.
func limitDescriptors(spare int) {
	setDescriptors(uint64(len(openDescriptors()) + spare)) //nolint:gosec // a few dozen
}

func setDescriptors(n uint64) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	limit.Cur = min(n, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
}

// startWork starts a task or a worker. A request is the parent's to send.
func (s *service) startWork(i int, w Work) {
	name := w.Kind + " " + strconv.Itoa(i)
	switch w.Kind {
	case task:
		done, ok := s.m.Track(name)
		if !ok {
			return // the shutdown has ended already
		}
		s.journal.note(workStarted, name)
		go func() {
			defer done()
			_ = s.do(w, name, s.m.WorkContext())
		}()
	case worker:
		s.m.Go(name, func(context.Context) error {
			s.journal.note(workStarted, name)
			return s.do(w, name, s.m.WorkContext())
		})
	}
}

var errWorker = errors.New("the worker has failed")

// do does a piece of work, whose context is ctx, and writes down how it ended.
func (s *service) do(w Work, name string, ctx context.Context) (err error) {
	defer func() { s.ended(name) }()
	switch w.Does {
	case workTold, workFails:
		<-s.m.AcceptContext().Done()
	case workGivesUp, workLate:
		<-ctx.Done()
		if w.Does == workGivesUp {
			return ctx.Err()
		}
		return nil
	case workHangs:
		<-s.never
	}
	time.Sleep(w.Takes.D())
	if w.Does == workFails {
		return errWorker
	}
	return nil
}

// ended writes down the end of a piece of work that is still in flight, and
// whether it had been cut off.
func (s *service) ended(name string) {
	s.journal.add(Event{Kind: workEnded, Name: name, Cut: s.isCut()})
}

func (s *service) isCut() bool {
	if s.m == nil || s.m.WorkContext().Err() == nil {
		return false
	}
	cause := context.Cause(s.m.WorkContext())
	return errors.Is(cause, shutdown.ErrTimeout) || errors.Is(cause, shutdown.ErrForced)
}

// shouldBeQuiet reports whether nothing may be left: nothing was left behind, and
// nothing is broken that outlives the shutdown. In a storm of signals there is
// no time to look.
func (s *service) shouldBeQuiet(end *End) bool {
	r := end.Report
	for _, step := range r.Steps {
		if step.LeftBehind || isServer(step) && step.Err != nil {
			return false
		}
	}
	storm := s.plan.First.Count > 1
	for _, later := range s.plan.Later {
		storm = storm || later.Count > 1
	}
	return len(r.Unfinished) == 0 && s.plan.Logger != loggerBlocks && s.plan.Disk == "" && !storm
}

func (s *service) lookForLeaks(quiet goleak.Option, there map[string]string) {
	setDescriptors(1 << 10)
	var err error
	var left map[string]string
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		err = goleak.Find(quiet)
		left = openDescriptors()
		for fd, what := range left {
			if there[fd] == what || harmless[what] {
				delete(left, fd)
			}
		}
		if err == nil && len(left) == 0 {
			return
		}
	}
	if err != nil {
		s.journal.add(Event{Kind: leaked, Name: "goroutines", Error: err.Error()})
	}
	if len(left) > 0 {
		s.journal.add(Event{Kind: leaked, Name: "descriptors", Error: fmt.Sprint(left)})
	}
}

// harmless are descriptors of Go's runtime.
var harmless = map[string]bool{"anon_inode:[eventpoll]": true, "anon_inode:[eventfd]": true}

// openDescriptors returns what is open, by number.
func openDescriptors() map[string]string {
	const dir = "/proc/self/fd/"
	open := make(map[string]string)
	entries, _ := os.ReadDir(dir) // without /proc nothing is found
	for _, e := range entries {
		if what, err := os.Readlink(dir + e.Name()); err == nil { // that of ReadDir is closed by now
			open[e.Name()] = what
		}
	}
	return open
}

// runWithout is the same service as it is written without the library: the
// control, which has to violate what the library keeps.
func (s *service) runWithout() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s.journal.note(started, "")
	ln, err := net.Listen("tcp", loopback.Addr())
	if err != nil {
		panic(err)
	}
	srv := newServer(s)
	s.addr = ln.Addr().String()
	go func() { _ = srv.Serve(ln) }()
	for _, h := range s.plan.Hooks {
		s.journal.note(hookRegistered, h.Name)
	}
	s.journal.add(Event{Kind: listening, Name: s.addr})
	<-ctx.Done()
	begun := time.Now()
	limit, cancel := context.WithTimeout(context.Background(), s.plan.Timeout.D())
	defer cancel()
	_ = srv.Shutdown(limit)
	for _, h := range s.plan.Hooks {
		if err := s.hook(h)(limit); err != nil {
			break
		}
	}
	report := shutdown.Report{Phase: shutdown.Done, Begun: begun, Took: time.Since(begun)}
	s.journal.add(Event{Kind: waited, End: &End{Report: report, Result: resultOf(report)}})
	s.journal.note(lastEvent, "")
	os.Exit(0)
}

// A brokenLogger stops working after some lines.
type brokenLogger struct {
	slog.Handler
	how   string
	lines *atomic.Int64 // that are still written
}

func newLogger(p Plan, w io.Writer) slog.Handler {
	text := slog.NewJSONHandler(w, nil)
	if p.Logger == "" {
		return text
	}
	l := brokenLogger{text, p.Logger, new(atomic.Int64)}
	l.lines.Store(int64(p.LoggerLines))
	return l
}

// Handle is slog.Handler.
func (l brokenLogger) Handle(ctx context.Context, line slog.Record) error {
	if l.lines.Add(-1) >= 0 {
		return l.Handler.Handle(ctx, line)
	}
	if l.how == loggerBlocks {
		select {}
	}
	panic("the logger is broken")
}

// signalNumber takes the name of a signal without SIG.
func signalNumber(name string) syscall.Signal { return unix.SignalNum("SIG" + name) }
