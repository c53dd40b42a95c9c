// Package service has what the services of all peers have in common: the requests that
// they answer, the hooks that clean up, and the slow part of the start.
//
// A service tells the program that measures it what happens, by events: lines that it
// writes to file descriptor 3.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// Grace is the time that each peer is told to take at most for its shutdown, if it can be
// told.
const Grace = 10 * time.Second

// Slow is how long the slow request takes. It is shorter than the default timeouts of
// requests that some peers have.
const Slow = 1500 * time.Millisecond

// The paths of the requests, in gRPC the payload. A request with another one is answered
// after 1 to 3 ms with its body.
const (
	SlowPath  = "/report/slow"  // takes the time Slow
	StuckPath = "/report/stuck" // is never answered, and ignores its context
)

// The events. Those of a hook are its name and one of the last two.
const (
	SlowBegan  = "slow request began"
	SlowEnded  = "slow request ended"
	StuckBegan = "stuck request began"
	Connecting = "connecting"
	HookBegan  = " began"
	HookEnded  = " ended"
)

// The hooks, in the order in which they are registered.
const (
	First  = "CloseCache"
	Second = "FlushQueue" // the one with the fault
	Third  = "CloseDatabase"
)

// A Fault is what the second hook does.
type Fault string

// The faults.
const (
	NoFault Fault = ""
	Fails   Fault = "fails"
	Panics  Fault = "panics"
	Hangs   Fault = "hangs" // ignores its context
)

// A Service is what a peer serves.
type Service struct {
	HTTP, GRPC string // addresses to listen on
	Fault      Fault
	SlowStart  bool          // Connect takes a second
	CleanUp    time.Duration // that each hook takes

	events *os.File
}

// Role returns the role of a child process that is a service of a peer. Its argument is
// the JSON of the Service.
func Role(peer func(*Service)) func(context.Context, []string) {
	return func(_ context.Context, args []string) {
		s := &Service{events: os.NewFile(3, "events")}
		if len(args) != 1 {
			panic(fmt.Sprintf("%d arguments instead of one", len(args)))
		}
		if err := json.Unmarshal([]byte(args[0]), s); err != nil {
			panic(err)
		}
		peer(s)
	}
}

func (s *Service) event(text string) { fmt.Fprintln(s.events, text) }

// Connect is the slow part of the start.
func (s *Service) Connect(ctx context.Context) error {
	s.event(Connecting)
	if !s.SlowStart {
		return nil
	}
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CloseCache is the first hook.
func (s *Service) CloseCache(context.Context) error { return s.hook(First, NoFault) }

// FlushQueue is the second hook.
func (s *Service) FlushQueue(context.Context) error { return s.hook(Second, s.Fault) }

// CloseDatabase is the third hook.
func (s *Service) CloseDatabase(context.Context) error { return s.hook(Third, NoFault) }

func (s *Service) hook(name string, fault Fault) error {
	s.event(name + HookBegan)
	switch fault {
	case Fails:
		return errors.New("connection refused")
	case Panics:
		panic("assignment to entry in nil map")
	case Hangs:
		forever()
	}
	time.Sleep(s.CleanUp)
	s.event(name + HookEnded)
	return nil
}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// Answer takes its time and returns the answer to a request.
func (s *Service) Answer(path string, body []byte) []byte {
	switch path {
	case SlowPath:
		s.event(SlowBegan)
		time.Sleep(Slow)
		s.event(SlowEnded)
	case StuckPath:
		s.event(StuckBegan)
		forever()
	default:
		time.Sleep(time.Millisecond + rand.N(2*time.Millisecond))
	}
	return body
}

// ServeHTTP answers a request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(s.Answer(r.URL.Path, body))
}

// Protocols returns those of an http.Server. HTTP/2 is in clear text.
func Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Register adds the gRPC service to a server.
func (s *Service) Register(srv grpc.ServiceRegistrar) { pb.RegisterTestServiceServer(srv, rpc{s: s}) }

type rpc struct {
	pb.UnimplementedTestServiceServer
	s *Service
}

func (r rpc) UnaryCall(_ context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	payload := req.GetPayload()
	r.s.Answer(string(payload.GetBody()), nil)
	return &pb.SimpleResponse{Payload: payload}, nil
}
