package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// A scenario is one shutdown without load.
type scenario struct {
	name    string
	service service.Service
	request string        // the path of a request that is in flight at the first SIGTERM; "" is none
	event   string        // for which the first SIGTERM waits; "" is that the peer serves
	delay   time.Duration // from the event to the first SIGTERM
	second  syscall.Signal
	later   time.Duration // from the first signal to the second one; 0 is no second one
}

var (
	hookFails     = scenario{name: "a hook fails", service: service.Service{Fault: service.Fails}}
	hookPanics    = scenario{name: "a hook panics", service: service.Service{Fault: service.Panics}}
	hookHangs     = scenario{name: "a hook hangs", service: service.Service{Fault: service.Hangs}}
	slowRequest   = scenario{name: "a slow request", request: service.SlowPath, event: service.SlowBegan}
	stuckRequest  = scenario{name: "a stuck request", request: service.StuckPath, event: service.StuckBegan}
	secondSIGTERM = scenario{name: "a second SIGTERM", request: service.SlowPath, event: service.SlowBegan, second: syscall.SIGTERM, later: 200 * time.Millisecond}
	thenSIGINT    = scenario{name: "SIGTERM, then SIGINT", request: service.SlowPath, event: service.SlowBegan, second: syscall.SIGINT, later: 700 * time.Millisecond}
	startUp       = scenario{name: "SIGTERM in the start", service: service.Service{SlowStart: true}, event: service.Connecting, delay: 300 * time.Millisecond}
)

var scenarios = []*scenario{&hookFails, &hookPanics, &hookHangs, &slowRequest, &stuckRequest, &secondSIGTERM, &thenSIGINT, &startUp}

// settle is how long a peer that listens may need until it also catches signals. Nothing
// tells when it does.
const settle = 500 * time.Millisecond

// cleanUp is how long each hook takes, so that a hook that panics ends the process before
// the hooks beside it have ended, if nothing recovers.
const cleanUp = 50 * time.Millisecond

// An outcome is what was observed of a scenario, from outside of the peer.
type outcome struct {
	exit
	reply  string // to the request: its status or how its connection ended
	events []string
	output string // from the first signal on
}

// play plays a scenario with a peer.
func (b *bench) play(ctx context.Context, p *peer, s *scenario) (outcome, error) {
	of := s.service
	of.CleanUp = cleanUp
	i, err := b.start(ctx, p, of)
	if err != nil {
		return outcome{}, err
	}
	var reply chan string
	if !s.service.SlowStart {
		if err = i.awaitServing(ctx); err == nil {
			time.Sleep(settle)
		}
	}
	if err == nil && s.request != "" {
		reply = make(chan string, 1)
		go func() { reply <- p.call(ctx, i.addr, s.request) }()
	}
	if err == nil && s.event != "" {
		err = i.await(ctx, s.event)
	}
	if err != nil {
		return outcome{}, i.abort(err)
	}
	time.Sleep(s.delay)
	offset := i.written()
	signaled := time.Now()
	err = i.signal(syscall.SIGTERM)
	if err == nil && s.later > 0 {
		select {
		case <-time.After(s.later):
		case <-i.exited:
		}
		err = i.signal(s.second)
	}
	if err != nil {
		return outcome{}, i.abort(err)
	}
	var o outcome
	o.exit, o.events, o.output = i.wait(signaled, offset)
	if reply != nil {
		o.reply = <-reply
		if o.never && o.reply != "200" {
			o.reply = "nothing"
		}
	}
	return o, nil
}

// call makes one request and says how it ended.
func (p *peer) call(ctx context.Context, addr, path string) string {
	ctx, cancel := context.WithTimeout(ctx, startLimit+limit)
	defer cancel()
	if p.grpc {
		conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = conn.Close() }() // the call has ended
		_, err = pb.NewTestServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte(path)}})
		if code := status.Code(err); code != codes.OK {
			return code.String()
		}
		return "200"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+path, strings.NewReader("request"))
	if err != nil {
		return err.Error()
	}
	req.GetBody = nil // it is not sent twice
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	switch {
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, syscall.ECONNRESET):
		return "RST"
	case err != nil:
		return err.Error()
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err.Error()
	}
	return strconv.Itoa(resp.StatusCode)
}

// cleaned returns how many of the hooks ran to their end.
func (o *outcome) cleaned() int {
	n := 0
	for _, hook := range []string{service.First, service.Second, service.Third} {
		if slices.Contains(o.events, hook+service.HookEnded) {
			n++
		}
	}
	return n
}

// inOrder reports whether each hook ran, and began only when the slow request had been
// answered.
func (o *outcome) inOrder() bool {
	answered := slices.Index(o.events, service.SlowEnded)
	first := slices.IndexFunc(o.events, func(e string) bool {
		return strings.HasSuffix(e, service.HookBegan) && e != service.SlowBegan && e != service.StuckBegan
	})
	return answered >= 0 && first > answered && o.cleaned() == 3
}

// ended describes the exit after a signal that may have forced it.
func (o *outcome) ended() string {
	if o.never {
		return "never"
	}
	return fmt.Sprintf("exit %d after %s", o.code, seconds(o.after))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
