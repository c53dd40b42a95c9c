package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown/internal/load"
)

// rpcLoad is the load of gRPC, as package load is that of HTTP: each client makes one
// call after the other, and ends at a refused dial. grpc-go repeats a call only if the
// server has said that it did not process it, so no retry hides a loss.
type rpcLoad struct {
	addr   string
	calls  calls
	pause  time.Duration
	ended  context.Context // its end gives up dials without an answer
	marked atomic.Bool

	clients  sync.WaitGroup
	began    atomic.Int64
	answered atomic.Int64
	mu       sync.Mutex    // protects result until done is closed
	result   load.Result   // of the clients that have ended
	done     chan struct{} // closed when all have ended
}

func startRPCLoad(ctx context.Context, addr string, t traffic) (*rpcLoad, error) {
	l := &rpcLoad{addr: addr, calls: t.calls, pause: t.pause, ended: ctx, done: make(chan struct{})}
	common, err := l.connect()
	if err != nil {
		return nil, err
	}
	for i := range clients {
		path := shortPath
		if i%2 == 1 {
			path = longPath
		}
		l.clients.Go(func() {
			var result load.Result
			l.began.Add(1)
			for ctx.Err() == nil && l.call(common, path, &result) {
				select {
				case <-time.After(l.pause):
				case <-ctx.Done():
				}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.result.Add(result)
		})
	}
	go func() {
		defer close(l.done)
		l.clients.Wait()
		_ = common.Close() // there are no more calls
		l.result.HeldUp += int(common.heldUp.Load())
	}()
	return l, nil
}

// Mark divides the calls as load.Run.Mark does.
func (l *rpcLoad) Mark() { l.marked.Store(true) }

func (l *rpcLoad) Began() int { return int(l.began.Load()) }

func (l *rpcLoad) Count() int { return int(l.answered.Load()) }

func (l *rpcLoad) Wait() load.Result {
	<-l.done
	return l.result
}

// A rpcConn is a client connection that records how its dials ended.
type rpcConn struct {
	*grpc.ClientConn
	connected atomic.Bool // a dial has succeeded
	refused   atomic.Bool // a dial was refused
	givenUp   atomic.Bool // a dial was given up at the end of the run
	reset     atomic.Bool // a dial was reset
	heldUp    atomic.Int64
}

// heldUp is a time after which a dial counts as held up.
const heldUp = 500 * time.Millisecond

// dialGrace is how long a dial may take after the end of the run.
const dialGrace = 50 * time.Millisecond

func (l *rpcLoad) connect() (*rpcConn, error) {
	c := new(rpcConn)
	dial := func(_ context.Context, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		defer context.AfterFunc(l.ended, func() { time.AfterFunc(dialGrace, cancel) })()
		began := time.Now()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if time.Since(began) > heldUp || ctx.Err() != nil {
			c.heldUp.Add(1)
		}
		switch {
		case err == nil:
			c.connected.Store(true)
		case errors.Is(err, syscall.ECONNREFUSED):
			c.refused.Store(true)
		case l.ended.Err() != nil:
			c.givenUp.Store(true)
		case errors.Is(err, syscall.ECONNRESET):
			c.reset.Store(true)
		}
		return conn, err
	}
	cc, err := grpc.NewClient("passthrough:///"+l.addr, grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	c.ClientConn = cc
	return c, err
}

// call makes one call and counts it. It reports whether the server still accepts
// connections.
func (l *rpcLoad) call(common *rpcConn, path string, result *load.Result) (again bool) {
	conn := common
	if l.calls == perCall {
		own, err := l.connect()
		if err != nil {
			result.Lose(err.Error(), false)
			return false
		}
		defer func() {
			_ = own.Close() // the call has ended
			result.HeldUp += int(own.heldUp.Load())
		}()
		conn = own
	}
	later := l.marked.Load()
	err := l.do(pb.NewTestServiceClient(conn), path)
	switch {
	case err == nil:
		result.Answer(later)
		l.answered.Add(1)
		return true
	case conn.notConnected(err) && (conn == common || !conn.connected.Load()):
		result.Refused++
		return false
	}
	kind := rpcKind(err)
	if conn != common && !conn.connected.Load() && conn.reset.Load() {
		kind = load.DialReset
	}
	result.Lose(kind, later)
	return true
}

// notConnected reports whether a call failed without a connection: its dial was
// refused, or given up at the end of the run.
func (c *rpcConn) notConnected(err error) bool {
	return (c.refused.Load() || c.givenUp.Load()) && strings.Contains(err.Error(), "Error while dialing")
}

func (l *rpcLoad) do(client pb.TestServiceClient, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	payload := &pb.Payload{Body: []byte(path)}
	switch l.calls {
	case serverStreams:
		stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{Payload: payload})
		if err != nil {
			return err
		}
		return receive(stream.Recv, messages)
	case bidiStreams:
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		for range messages {
			// After EOF, Recv returns why Send failed.
			if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: payload}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		return receive(stream.Recv, 0)
	}
	_, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload})
	return err
}

// receive receives n messages and the end of the stream.
func receive[M any](recv func() (M, error), n int) error {
	for got := 0; ; got++ {
		_, err := recv()
		if errors.Is(err, io.EOF) && got == n {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the stream ended after %d of %d messages", got, n)
		}
		if err != nil {
			return err
		}
	}
}

var numbers = regexp.MustCompile(`[0-9][0-9.:]*`)

// rpcKind returns the code and text of a failed call, without addresses, so that
// equal failures are counted together.
func rpcKind(err error) string {
	s := status.Convert(err)
	text := s.Message()
	for _, wrapping := range []string{"connection error: desc = ", "transport: "} {
		text = strings.TrimPrefix(strings.Trim(text, `"`), wrapping)
	}
	return fmt.Sprintf("%s: %s", s.Code(), numbers.ReplaceAllString(strings.Trim(text, `"`), "N"))
}
