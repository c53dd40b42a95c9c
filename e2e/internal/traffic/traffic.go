// Package traffic is the load on examples/kubernetes: HTTP on new connections, HTTP on
// connections that are kept, and gRPC, at the same time.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// The ports of the service.
const (
	HTTPPort  = "8080"
	GRPCPort  = "9090"
	AdminPort = "9091"
)

var (
	order = &load.Request{
		Method: http.MethodPost,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   `{"item":"tea","quantity":1}`,
	}
	// Fields 1 and 2 of orders.v1.CreateRequest.
	call = &load.Request{GRPC: true, Body: "\x0a\x03tea\x10\x01"}
)

// A Traffic is a load in progress.
type Traffic struct {
	runs []*load.Run
	stop context.CancelFunc

	// Unanswered are the dials that Stop counts as refused although they were not: by kind.
	Unanswered map[string]int
}

// Start starts 32 clients, and waits until each has had some answers. persistent clients
// go on after a refused dial, because another instance may answer.
func Start(ctx context.Context, host string, persistent bool) (*Traffic, error) {
	return start(ctx, persistent,
		load.Clients{Mode: load.NewConn, N: 12, Addr: net.JoinHostPort(host, HTTPPort), Paths: []string{"/orders"}, Request: order},
		load.Clients{Mode: load.KeepAlive, N: 10, Addr: net.JoinHostPort(host, HTTPPort), Paths: []string{"/orders"}, Request: order},
		load.Clients{Mode: load.HTTP2, N: 10, Addr: net.JoinHostPort(host, GRPCPort), Paths: []string{"/orders.v1.Orders/Create"}, Request: call})
}

// StartHTTP is Start for a service without gRPC, whose port stays open.
func StartHTTP(ctx context.Context, host string) (*Traffic, error) {
	return start(ctx, true,
		load.Clients{Mode: load.NewConn, N: 16, Addr: net.JoinHostPort(host, HTTPPort), Paths: []string{"/orders"}, Request: order},
		load.Clients{Mode: load.KeepAlive, N: 16, Addr: net.JoinHostPort(host, HTTPPort), Paths: []string{"/orders"}, Request: order})
}

func start(ctx context.Context, persistent bool, clients ...load.Clients) (*Traffic, error) {
	// No client is slowed down by the end of ctx, which is for the wait only.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &Traffic{stop: stop}
	for _, c := range clients {
		c.Pause, c.Persistent = 10*time.Millisecond, persistent
		t.runs = append(t.runs, c.Start(running))
	}
	for _, r := range t.runs {
		if err := r.Warm(ctx, 3); err != nil {
			t.Stop()
			return nil, err
		}
	}
	return t, nil
}

// More waits for n more answers.
func (t *Traffic) More(ctx context.Context, n int) error {
	for want := t.count() + n; t.count() < want; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for answers: %w", context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (t *Traffic) count() (n int) {
	for _, r := range t.runs {
		n += r.Count()
	}
	return n
}

// Stop ends the clients after the request that each is sending, and returns the sum. A
// dial that had no answer counts as refused: there was no connection.
func (t *Traffic) Stop() (sum load.Result) {
	t.stop()
	for _, r := range t.runs {
		sum.Add(r.Wait())
	}
	for kind, n := range sum.Lost {
		if kind == "dial timeout" || strings.HasPrefix(kind, "other: dial: ") {
			if t.Unanswered == nil {
				t.Unanswered = make(map[string]int)
			}
			t.Unanswered[kind] += n
			delete(sum.Lost, kind)
			sum.Requests -= n
			sum.Refused += n
		}
	}
	return sum
}

// Await waits until the service is ready, which its port for administration says.
func Await(ctx context.Context, host string) error {
	url := "http://" + net.JoinHostPort(host, AdminPort) + "/readyz"
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		resp, err := client.Get(url)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; the last answer: %w", url, context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// awaitPort waits until something listens on the address.
func awaitPort(ctx context.Context, address string) error {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for a listener on %s: %w; the last dial: %w", address, context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Hang sends a request whose body never comes, so that its handler does not return. It
// returns when the service has the header. ended gets what the client received in the end,
// "" if that was nothing.
func Hang(ctx context.Context, host string) (ended <-chan string, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, HTTPPort))
	if err != nil {
		return nil, err
	}
	// "100-continue" is sent when the handler reads the body.
	const header = "POST /orders HTTP/1.1\r\nHost: orders\r\nContent-Type: application/json\r\nContent-Length: 27\r\nExpect: 100-continue\r\n\r\n"
	_, err = io.WriteString(conn, header)
	if err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n")))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a request without a body: %w", err), conn.Close())
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	end := make(chan string, 1)
	go func() {
		defer func() { _ = conn.Close() }()
		rest, _ := io.ReadAll(conn)
		line, _, _ := strings.Cut(string(rest), "\r\n")
		end <- line
	}()
	return end, nil
}
