package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A gateway forwards requests to the instances in the registry, in turn. It polls, as
// many gateways do; one that watches the registry learns of a removal sooner.
type gateway struct {
	client *clientv3.Client
	server *http.Server
	addr   string
	last   atomic.Pointer[poll]
	next   atomic.Int64
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// A poll is an answer of the registry.
type poll struct {
	started time.Time
	addrs   []string
}

type sendingKey struct{}

// A sending is a request that is being sent to an instance.
type sending struct {
	polled time.Time // when the poll that found the instance started

	// The time since polled, or 0 if it has not happened yet:
	dialing   atomic.Int64 // when the dial started
	connected atomic.Int64 // when the connection was established
	finished  atomic.Int64 // when the request was written
}

// repeatedSYN separates dials that have repeated their SYN, after a second, from
// dials that were slow because this process was not scheduled.
const repeatedSYN = 900 * time.Millisecond

// late reports whether the gateway has sent the request too late.
func (s *sending) late() bool {
	age := s.finished.Load()
	if age == 0 {
		age = int64(time.Since(s.polled))
	}
	// A SYN that arrives while a port is being closed is dropped. It is repeated after
	// a second, and then refused. The gateway did not cause this delay, so only the
	// start of such a dial counts.
	dialing, connected := s.dialing.Load(), s.connected.Load()
	if dialing > 0 && (connected == 0 || connected-dialing > int64(repeatedSYN)) {
		age = dialing
	}
	return time.Duration(age) > lameDuck/2
}

// tooLate is the prefix of the reason for a loss if the gateway used a poll that was
// older than half of the lame duck. That long package discovery keeps an instance
// serving after its deregistration.
const tooLate = "too late: "

func startGateway(client *clientv3.Client) (*gateway, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &gateway{client: client, addr: ln.Addr().String(), stop: stop}
	g.last.Store(&poll{})
	g.server = &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			last := g.last.Load()
			s := &sending{polled: last.started}
			age := func() int64 { return int64(time.Since(last.started)) }
			ctx := httptrace.WithClientTrace(r.Out.Context(), &httptrace.ClientTrace{
				ConnectStart: func(_, _ string) { s.dialing.Store(age()) },
				ConnectDone: func(_, _ string, err error) {
					if err == nil {
						s.connected.Store(age())
					}
				},
				WroteRequest: func(info httptrace.WroteRequestInfo) {
					if info.Err == nil {
						s.finished.Store(age())
					}
				},
			})
			r.Out = r.Out.WithContext(context.WithValue(ctx, sendingKey{}, s))
			r.Out.URL.Scheme = "http"
			r.Out.URL.Host = g.pick(last.addrs)
		},
		// Each request opens a connection, so that it notices a closed port.
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			reason := kind(err)
			if s, ok := r.Context().Value(sendingKey{}).(*sending); ok && s.late() {
				reason = tooLate + reason
			}
			http.Error(w, reason, http.StatusBadGateway)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}}
	g.wg.Go(func() { _ = g.server.Serve(ln) }) // ends with Close
	g.wg.Go(func() { g.poll(ctx) })
	return g, nil
}

func (g *gateway) end() {
	g.stop()
	_ = g.server.Close()
	g.wg.Wait()
}

func (g *gateway) poll(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		found := &poll{started: time.Now()}
		if answer, err := g.client.Get(ctx, prefix, clientv3.WithPrefix()); err == nil {
			for _, kv := range answer.Kvs {
				found.addrs = append(found.addrs, string(kv.Value))
			}
			g.last.Store(found)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *gateway) pick(addrs []string) string {
	if len(addrs) == 0 {
		return "no-instance"
	}
	return addrs[int(g.next.Add(1))%len(addrs)]
}

// waitFor waits until the gateway has found addr.
func (g *gateway) waitFor(ctx context.Context, addr string) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !slices.Contains(g.last.Load().addrs, addr) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the gateway to find %s: %w", addr, context.Cause(ctx))
		}
	}
	return nil
}
