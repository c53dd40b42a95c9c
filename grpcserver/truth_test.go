package grpcserver_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

var update = flag.Bool("update", false, "write the tables in testdata anew")

// How the work of a trial ends.
const (
	ownEnd   = "in time"      // a second after the shutdown has begun: the control
	deadline = "the deadline" // the time of Drain is up
	forced   = "force"        // a second after the shutdown has begun
)

const (
	outputName = "grpc /grpc.testing.TestService/StreamingOutputCall"
	inputName  = "grpc /grpc.testing.TestService/StreamingInputCall"
)

// A trial is one shutdown in which RPCs are served.
type trial struct {
	pb.UnimplementedTestServiceServer
	t      *testing.T
	m      *shutdown.Manager
	handle func(context.Context) error // of all but client streams
	began  chan struct{}               // a token for each RPC that is being served
	over   chan struct{}               // the RPC may end, in time or after the shutdown
	once   sync.Once
	served chan struct{} // the client has what it gets
}

func newTrial(t *testing.T, m *shutdown.Manager) *trial {
	s := &trial{t: t, m: m, began: make(chan struct{}, 10), over: make(chan struct{}), served: make(chan struct{})}
	t.Cleanup(s.end)
	return s
}

func (s *trial) end() { s.once.Do(func() { close(s.over) }) }

// server is the one of the trial.
func (s *trial) server() *grpcserver.Server {
	srv := grpcserver.NewServer(s.m)
	pb.RegisterTestServiceServer(srv, s)
	return srv
}

func (s *trial) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	s.began <- struct{}{}
	return &pb.SimpleResponse{}, s.handle(ctx)
}

func (s *trial) StreamingOutputCall(_ *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	if err := stream.Send(&pb.StreamingOutputCallResponse{}); err != nil {
		return err
	}
	s.began <- struct{}{}
	return s.handle(stream.Context())
}

// StreamingInputCall does not look at its context: it is inside of Recv.
func (s *trial) StreamingInputCall(stream pb.TestService_StreamingInputCallServer) error {
	s.began <- struct{}{}
	for {
		switch _, err := stream.Recv(); {
		case errors.Is(err, io.EOF):
			return stream.SendAndClose(&pb.StreamingInputCallResponse{})
		case err != nil:
			return err
		}
	}
}

func (s *trial) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	s.began <- struct{}{}
	return s.handle(stream.Context())
}

// What a handler does when its context ends.
var (
	giveUp = func(s *trial) func(context.Context) error {
		return func(ctx context.Context) error {
			select {
			case <-s.over:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	finish = func(s *trial) func(context.Context) error {
		return func(ctx context.Context) error {
			_ = giveUp(s)(ctx)
			return nil
		}
	}
	atOnce = func(*trial) func(context.Context) error {
		return func(context.Context) error { return nil }
	}
	never = func(s *trial) func(context.Context) error {
		return func(context.Context) error {
			<-s.over
			return nil
		}
	}
)

// What a client does; it returns what that has got.

func callUnary(s *trial, c pb.TestServiceClient) error {
	_, err := c.UnaryCall(s.t.Context(), &pb.SimpleRequest{})
	return err
}

// late sends when work is to end, or has been cut off.
func late(s *trial, c pb.TestServiceClient) error {
	if err := callUnary(s, c); err != nil {
		return err
	}
	select {
	case <-s.over:
	case <-s.m.WorkContext().Done():
	}
	return callUnary(s, c)
}

func serverStream(s *trial, c pb.TestServiceClient) error {
	stream, err := c.StreamingOutputCall(s.t.Context(), &pb.StreamingOutputCallRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	return butEOF(err)
}

func clientStream(s *trial, c pb.TestServiceClient) error {
	stream, err := c.StreamingInputCall(s.t.Context())
	if err == nil {
		err = stream.Send(&pb.StreamingInputCallRequest{})
	}
	if err != nil {
		return err
	}
	go func() {
		<-s.over
		_ = stream.CloseSend()
	}()
	return butEOF(stream.RecvMsg(&pb.StreamingInputCallResponse{}))
}

func bidiStream(s *trial, c pb.TestServiceClient) error {
	stream, err := c.FullDuplexCall(s.t.Context())
	for err == nil {
		_, err = stream.Recv()
	}
	return butEOF(err)
}

func butEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// A kind of RPC is cut off by the deadline and by force, unless it ends in time.
type kind struct {
	name    string
	rpc     string // its name
	handle  func(*trial) func(context.Context) error
	call    func(*trial, pb.TestServiceClient) error
	prepare func(*trial)          // nil for nothing
	ends    []string              // nil for all
	client  map[string]codes.Code // what it gets if it is cut off
}

var kinds = []kind{
	{name: "unary, gives up", rpc: unaryName, handle: giveUp, call: callUnary, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "unary, answered OK", rpc: unaryName, handle: finish, call: callUnary},
	{
		// Of the phases in which a new RPC is taken, only Leave can be cut short.
		name: "unary, let in late, answered OK", rpc: unaryName, handle: atOnce, call: late, ends: []string{ownEnd, forced},
		prepare: func(s *trial) {
			s.m.On(shutdown.Leave, "serve on", func(context.Context) error {
				<-s.served
				return nil
			})
		},
	},
	{name: "server stream, gives up", rpc: outputName, handle: giveUp, call: serverStream, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "server stream, ended OK", rpc: outputName, handle: finish, call: serverStream},
	{name: "client stream, inside of Recv", rpc: inputName, call: clientStream, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "bidi stream, gives up", rpc: streamName, handle: giveUp, call: bidiStream, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "bidi stream, ended OK", rpc: streamName, handle: finish, call: bidiStream},
}

// TestWhatIsMadeOfAnRPCThatIsCutOff is a table in testdata/truth.txt. What has to
// be so in any case is not taken from there, but checked. Handlers that never
// return are below: they stop the time of a bubble.
func TestWhatIsMadeOfAnRPCThatIsCutOff(t *testing.T) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RPC\tENDED BY\tTHE CLIENT GETS\tEXIT\tLAST LINE\tWAIT RETURNS, BUT FOR THE SERVER'S HOOK")
	for _, k := range kinds {
		for _, by := range []string{ownEnd, deadline, forced} {
			if k.ends != nil && !slices.Contains(k.ends, by) {
				continue
			}
			virtually(t, k.name+", ended by "+by, func(t *testing.T) {
				got, exit, last, text := try(t, k, by)
				fmt.Fprintf(w, "%s\t%s\t%v\t%d\t%s\t%s\n", k.name, by, got, exit, last, text)
			})
		}
	}
	require.NoError(t, w.Flush())
	compare(t, "truth.txt", table.Bytes())
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "write it anew with go test -run %s . -update", t.Name())
}

func try(t *testing.T, k kind, by string) (got codes.Code, exit int, last, text string) {
	var log output
	cfg := endlessBudget
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m := manager(t, cfg)
	s := newTrial(t, m)
	if k.handle != nil {
		s.handle = k.handle(s)
	}
	if k.prepare != nil {
		k.prepare(s)
	}
	c := serveInMemory(t, s.server()).client(t)
	result := s.start(k.call, c)

	ended := wait(m)
	m.Signal(syscall.SIGTERM)
	if by != deadline {
		time.Sleep(time.Second)
	}
	switch by {
	case ownEnd:
		s.end()
	case forced:
		m.Signal(os.Interrupt)
	}
	err := within(t, "the end", ended)
	var want []string
	if by != ownEnd {
		want = []string{k.rpc}
	}
	requireTruth(t, m, &log, err, by, want)
	cut := m.Report().CutOff
	s.end()
	got = status.Code(within(t, "what the client gets", result))
	require.Equal(t, k.client[by], got)
	eventually(t, "the handler has returned", func() bool { return len(m.Tasks()) == 0 })
	require.Equal(t, cut, m.Report().CutOff, "what happens after the end changes nothing")

	lastLine := regexp.MustCompile(`level=(\S+) msg="shutdown: ([a-z ]+)" report`).FindStringSubmatch(log.last())
	require.NotNil(t, lastLine, log.last())
	return got, shutdown.ExitCode(err), lastLine[1] + " " + lastLine[2], butHooks(err)
}

// start makes the call, and returns when it is being served.
func (s *trial) start(call func(*trial, pb.TestServiceClient) error, c pb.TestServiceClient) <-chan error {
	result := make(chan error, 1)
	go func() {
		result <- call(s, c)
		close(s.served)
	}()
	within(s.t, "the call", s.began)
	return result
}

func (l *output) last() string {
	lines := l.lines("")
	return lines[len(lines)-1]
}

// butHooks is err without what hooks returned: whether the one of the server was
// in time to say what it cut off is up to the machine.
func butHooks(err error) string {
	joined, ok := err.(interface{ Unwrap() []error }) // this very error
	if !ok {
		return "nil"
	}
	var rest []error
	for _, err := range joined.Unwrap() {
		if h := new(shutdown.HookError); !errors.As(err, &h) {
			rest = append(rest, err)
		}
	}
	return strings.ReplaceAll(errors.Join(rest...).Error(), "\n", "; ")
}

// requireTruth checks that Wait's error, the exit code, the Report and the log say
// what has been cut off, and nothing else.
func requireTruth(t *testing.T, m *shutdown.Manager, log *output, err error, by string, cutOff []string) {
	t.Helper()
	r := m.Report()
	names := namesOf(r.CutOff)
	require.ElementsMatch(t, cutOff, names)
	require.Subset(t, names, namesOf(r.Unfinished), "what is in flight when Drain has ended was cut off")
	last := log.last()
	if len(cutOff) == 0 {
		require.NoError(t, err)
		require.Equal(t, 0, shutdown.ExitCode(err))
		require.Contains(t, last, `level=INFO msg="shutdown: finished" `)
		require.Empty(t, log.lines("cut off"))
		return
	}
	require.Equal(t, by == forced, errors.Is(err, shutdown.ErrForced), "%v", err)
	if by == deadline {
		require.ErrorIs(t, err, shutdown.ErrTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, shutdown.ExitCode(err))
		require.Contains(t, last, `level=ERROR msg="shutdown: timed out" `)
	} else {
		require.Equal(t, 128+int(syscall.SIGINT), shutdown.ExitCode(err))
		require.Contains(t, last, `level=ERROR msg="shutdown: forced" `)
	}
	count := fmt.Sprintf("%d tasks", len(cutOff))
	if len(cutOff) == 1 {
		count = "1 task"
	}
	require.ErrorContains(t, err, count+" cut off: ")
	for _, name := range cutOff {
		require.ErrorContains(t, err, name)
		require.Contains(t, r.String(), name)
		require.Contains(t, last, name)
	}
	require.Contains(t, r.String(), "cut off: "+count)
	require.Contains(t, last, "report.cut_off=\""+count)
}

func namesOf(tasks []shutdown.Task) []string {
	names := []string{}
	for _, task := range tasks {
		names = append(names, task.Name)
	}
	return names
}

// On sockets, all kinds at once; those that were cut off do not even return.
func TestRPCsThatNeverReturnAreCutOff(t *testing.T) {
	for _, by := range []string{ownEnd, deadline, forced} {
		t.Run("ended by "+by, func(t *testing.T) {
			t.Parallel()
			var log output
			cfg := shutdown.Config{}
			if by == deadline {
				cfg = roomyBudget
			}
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			m := manager(t, cfg)
			s := newTrial(t, m)
			s.handle = never(s)
			c := client(t, start(t, s.server()))
			results := make(chan error, 3)
			calls := []func(*trial, pb.TestServiceClient) error{callUnary, serverStream, bidiStream}
			for _, call := range calls {
				go func() { results <- call(s, c) }()
				within(t, "the call", s.began)
			}
			ended := wait(m)
			m.Signal(syscall.SIGTERM)
			waitPhase(t, m, shutdown.Drain)
			switch by {
			case ownEnd:
				s.end()
			case forced:
				m.Force(shutdown.SignalError{Signal: os.Interrupt}) // so soon, the signal would be one more of the same press
			}
			err := within(t, "the end", ended)
			want, code := []string{unaryName, outputName, streamName}, codes.Unavailable
			if by == ownEnd {
				want, code = nil, codes.OK
			}
			requireTruth(t, m, &log, err, by, want)
			if by != ownEnd {
				require.ElementsMatch(t, want, namesOf(m.Report().Unfinished))
			}
			for range calls {
				require.Equal(t, code, status.Code(within(t, "what the client gets", results)))
			}
			s.end()
			eventually(t, "the handlers have returned", func() bool { return len(m.Tasks()) == 0 })
		})
	}
}

// The worker's client is gRPC's. The line is the one of Manager.Go's documentation.
func TestAWorkerThatReturnsTheStatusCanceled(t *testing.T) {
	asItIs := func(_ context.Context, err error) error { return err }
	withTheLine := func(ctx context.Context, err error) error {
		if status.Code(err) == codes.Canceled && ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	theServer := func(context.Context) error { return status.Error(codes.Canceled, "by the server") }
	for name, test := range map[string]struct {
		returns func(ctx context.Context, err error) error
		answer  func(context.Context) error // nil: none until the client gives up
		want    string                      // of Wait; "" for nil
	}{
		"as it is":                                  {asItIs, nil, `shutdown: worker "consumer": rpc error: code = Canceled desc = context canceled`},
		"with the line of the documentation":        {withTheLine, nil, ""},
		"with the line, but the server has said it": {withTheLine, theServer, `shutdown: worker "consumer": rpc error: code = Canceled desc = by the server`},
	} {
		virtually(t, name, func(t *testing.T) {
			backend := newTrial(t, manager(t, shutdown.Config{}))
			backend.handle = func(ctx context.Context) error {
				if test.answer != nil {
					return test.answer(ctx)
				}
				<-ctx.Done()
				return ctx.Err()
			}
			c := serveInMemory(t, backend.server()).client(t)
			var log output
			cfg := endlessBudget
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			m := manager(t, cfg)
			m.Go("consumer", func(ctx context.Context) error {
				_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
				require.Equal(t, codes.Canceled, status.Code(err))
				return test.returns(ctx, err)
			})
			within(t, "the call", backend.began)
			synctest.Wait()
			err := end(t, m)
			if test.want == "" {
				requireTruth(t, m, &log, err, ownEnd, nil)
				require.Len(t, log.lines(`level=INFO msg="shutdown: worker stopped" worker=consumer error="context canceled"`), 1)
				return
			}
			require.EqualError(t, err, test.want)
			require.Equal(t, 1, shutdown.ExitCode(err))
			require.Empty(t, m.Report().CutOff)
			require.Contains(t, log.last(), `level=ERROR msg="shutdown: finished with errors" `)
			h := new(shutdown.HookError)
			require.ErrorAs(t, err, &h)
			require.Equal(t, shutdown.Running, h.Phase)
		})
	}
}
