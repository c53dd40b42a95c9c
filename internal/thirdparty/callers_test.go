package thirdparty

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown/internal/load"
)

// dialLimit bounds a dial. A SYN that was dropped is sent again after a second.
const dialLimit = 10 * time.Second

// callers make one call after the other, each on a new connection, with protocols that
// package load does not have. As there, a caller ends at a refused dial.
type callers struct {
	wg       sync.WaitGroup
	answered []atomic.Int64 // by caller
	mu       sync.Mutex     // protects result
	result   load.Result
}

// startCallers starts n callers of call.
func startCallers(ctx context.Context, n int, call func(context.Context) error) *callers {
	c := &callers{answered: make([]atomic.Int64, n)}
	for i := range n {
		c.wg.Go(func() {
			for ctx.Err() == nil {
				err := call(ctx)
				c.mu.Lock()
				switch {
				case err == nil:
					c.result.Answer(false)
					c.answered[i].Add(1)
				case errors.Is(err, syscall.ECONNREFUSED):
					c.result.Refused++
					c.mu.Unlock()
					return
				default:
					c.result.Lose(err.Error(), false)
				}
				c.mu.Unlock()
			}
		})
	}
	return c
}

// warm reports whether each caller has had an answer.
func (c *callers) warm() bool {
	for i := range c.answered {
		if c.answered[i].Load() == 0 {
			return false
		}
	}
	return true
}

func (c *callers) wait() load.Result {
	c.wg.Wait()
	return c.result
}

// viaProxy sends a request after a PROXY protocol header.
func viaProxy(addr string) func(context.Context) error {
	return func(context.Context) error {
		conn, err := net.DialTimeout("tcp", addr, dialLimit)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(dialLimit))
		if _, err := io.WriteString(conn, "PROXY TCP4 10.1.1.1 10.1.1.2 1000 2000\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
			return lost("write", err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return lost("read", err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d, body %q: %w", resp.StatusCode, body, err)
		}
		return nil
	}
}

// lost hides the cause: ECONNREFUSED on an open connection is a loss.
func lost(where string, err error) error { return fmt.Errorf("%s: %v", where, err) } //nolint:errorlint // see above

// overGRPC makes an RPC on a connection of its own.
func overGRPC(addr string) func(context.Context) error {
	return func(context.Context) error {
		var refused, connected atomic.Bool
		dial := func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err == nil {
				connected.Store(true)
			}
			if errors.Is(err, syscall.ECONNREFUSED) {
				refused.Store(true)
			}
			return conn, err
		}
		conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // the call has ended
		ctx, cancel := context.WithTimeout(context.Background(), 2*dialLimit)
		defer cancel()
		_, err = pb.NewTestServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{})
		if err != nil && refused.Load() && !connected.Load() {
			return syscall.ECONNREFUSED
		}
		return err
	}
}

type rpcServer struct {
	pb.UnimplementedTestServiceServer
}

func (rpcServer) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	time.Sleep(work)
	return &pb.SimpleResponse{}, nil
}

// work is how long a request takes.
const work = 2 * time.Millisecond
