package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown/internal/load"
)

// An rpcLoad is the load of gRPC, as package load is that of HTTP. Each client makes one
// call after the other, and ends at a refused dial. grpc-go repeats a call only if the
// server has said that it did not process it, so no retry hides a loss.
type rpcLoad struct {
	addr     string
	perCall  bool            // a connection for each call; otherwise one for all clients
	ended    context.Context // its end gives up dials without an answer
	answered []atomic.Int64  // calls, of each client
	gone     []chan struct{} // each is closed when a client has ended
	results  []load.Result   // each is complete when its client has ended
	common   *rpcConn
}

func startRPCLoad(ctx context.Context, addr string, perCall bool, clients int) (*rpcLoad, error) {
	l := &rpcLoad{
		addr: addr, perCall: perCall, ended: ctx,
		answered: make([]atomic.Int64, clients), gone: make([]chan struct{}, clients), results: make([]load.Result, clients),
	}
	var err error
	if l.common, err = l.connect(); err != nil {
		return nil, err
	}
	for n := range clients {
		l.gone[n] = make(chan struct{})
		go func() {
			defer close(l.gone[n])
			for ctx.Err() == nil && l.call(n) {
				// It is a closed loop.
			}
		}()
	}
	return l, nil
}

// Warm waits until each client has had n answers.
func (l *rpcLoad) Warm(ctx context.Context, n int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for client := range l.answered {
		for l.answered[client].Load() < int64(n) {
			select {
			case <-tick.C:
			case <-l.gone[client]:
				return fmt.Errorf("client %d has ended after %d answers: %s", client, l.answered[client].Load(), l.results[client].Kinds())
			case <-ctx.Done():
				return fmt.Errorf("waiting for %d answers to each client: %w", n, context.Cause(ctx))
			}
		}
	}
	return nil
}

// Wait waits for all clients to end.
func (l *rpcLoad) Wait() load.Result {
	var sum load.Result
	for n, gone := range l.gone {
		<-gone
		sum.Add(l.results[n])
	}
	_ = l.common.Close() // there are no more calls
	sum.HeldUp += int(l.common.heldUp.Load())
	return sum
}

// An rpcConn is a client connection that records how its dials ended.
type rpcConn struct {
	*grpc.ClientConn
	connected atomic.Bool // a dial has succeeded
	refused   atomic.Bool // a dial was refused
	givenUp   atomic.Bool // a dial was given up at the end of the run
	reset     atomic.Bool // a dial was reset
	heldUp    atomic.Int64
}

// heldUp is the time after which a dial is held up and an answer is delayed, as in package
// load.
const heldUp = 500 * time.Millisecond

// dialGrace is how long a dial may take after the end of the run, as in package load.
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

// call makes one call of a client and counts it. It reports whether the server still
// accepts connections.
func (l *rpcLoad) call(n int) (again bool) {
	conn, result := l.common, &l.results[n]
	if l.perCall {
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
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := pb.NewTestServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{})
	switch {
	case err == nil:
		result.Answer(false)
		if time.Since(began) > heldUp {
			result.Delayed++
		}
		l.answered[n].Add(1)
		return true
	case conn.notConnected(err) && (conn == l.common || !conn.connected.Load()):
		result.Refused++
		return false
	}
	kind := rpcKind(err)
	if conn != l.common && !conn.connected.Load() && conn.reset.Load() {
		kind = load.DialReset
	}
	result.Lose(kind, false)
	return true
}

// notConnected reports whether a call failed without a connection: its dial was refused,
// or given up at the end of the run.
func (c *rpcConn) notConnected(err error) bool {
	return (c.refused.Load() || c.givenUp.Load()) && strings.Contains(err.Error(), "Error while dialing")
}

var numbers = regexp.MustCompile(`[0-9][0-9.:]*`)

// rpcKind returns the kind of a failed call, as in package load, or its code and text
// without addresses.
func rpcKind(err error) string {
	text := status.Convert(err).Message()
	for _, k := range []struct{ part, kind string }{
		{"connection reset by peer", "RST"}, {"broken pipe", "EPIPE"}, {"GOAWAY", "GOAWAY"}, {"EOF", "EOF"},
		{"connection refused", "closed, then refused"},
	} {
		if strings.Contains(text, k.part) {
			return k.kind
		}
	}
	return fmt.Sprintf("%s: %s", status.Code(err), numbers.ReplaceAllString(text, "N"))
}

// clients is one of load.Run and rpcLoad.
type clients interface {
	Warm(ctx context.Context, n int) error
	Wait() load.Result
}

var (
	_ clients = (*load.Run)(nil)
	_ clients = (*rpcLoad)(nil)
)
