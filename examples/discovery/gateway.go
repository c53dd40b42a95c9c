package main

import (
	"context"
	"fmt"
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

// A gateway passes requests on to the instances in the registry, in turn. It
// polls, as many do; one that watches hears of a removal sooner.
type gateway struct {
	client *clientv3.Client
	server *http.Server
	addr   string
	found  atomic.Pointer[look]
	next   atomic.Int64
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// A look is what the registry has said.
type look struct {
	begun time.Time // when it was asked
	addrs []string
}

type sendingKey struct{}

// A sending is a request on its way to an instance.
type sending struct {
	look time.Time

	// The age of the look, 0 before that:
	dialing   atomic.Int64 // when the dial began
	connected atomic.Int64 // when there was a connection
	finished  atomic.Int64 // when the request had been written
}

// A dial that has taken so long has repeated its SYN; in one that has taken less,
// this process stood still.
const repeatedSYN = 900 * time.Millisecond

// late reports, of a request that is lost, whether it was.
func (s *sending) late() bool {
	age := s.finished.Load()
	if age == 0 {
		age = int64(time.Since(s.look))
	}
	// A SYN that comes in the moment in which a port closes is dropped; it is repeated
	// after a second, and then refused. That is the instance's time, so only the
	// beginning of such a dial counts.
	dialing, connected := s.dialing.Load(), s.connected.Load()
	if dialing > 0 && (connected == 0 || connected-dialing > int64(repeatedSYN)) {
		age = dialing
	}
	return time.Duration(age) > lameDuck/2
}

// tooLate comes before the kind of loss of a request that the gateway had not
// sent before its look was so old that this is its own fault, or that of a machine
// that stood still: package discovery promises clients half of the lame duck.
const tooLate = "too late: "

func startGateway(client *clientv3.Client) (*gateway, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &gateway{client: client, addr: ln.Addr().String(), stop: stop}
	g.found.Store(&look{})
	g.server = &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			found := g.found.Load()
			s := &sending{look: found.begun}
			age := func() int64 { return int64(time.Since(found.begun)) }
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
			r.Out.URL.Host = g.pick(found.addrs)
		},
		// A connection a request, so that each request meets the port as it is.
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			why := kind(err)
			if s, ok := r.Context().Value(sendingKey{}).(*sending); ok && s.late() {
				why = tooLate + why
			}
			http.Error(w, why, http.StatusBadGateway)
		},
		ErrorLog: log.New(discard{}, "", 0),
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
		found := &look{begun: time.Now()}
		if answer, err := g.client.Get(ctx, prefix, clientv3.WithPrefix()); err == nil {
			for _, kv := range answer.Kvs {
				found.addrs = append(found.addrs, string(kv.Value))
			}
			g.found.Store(found)
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
		return "nobody"
	}
	return addrs[int(g.next.Add(1))%len(addrs)]
}

// waitFor waits until the gateway knows addr.
func (g *gateway) waitFor(ctx context.Context, addr string) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !slices.Contains(g.found.Load().addrs, addr) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the gateway to find %s: %w", addr, context.Cause(ctx))
		}
	}
	return nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
