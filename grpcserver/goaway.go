package grpcserver

import (
	"net"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/gracefulgo/shutdown"
)

// spreadGoAway tells one connection after another, as many in each part of the
// lame duck, until stop is closed; those that come meanwhile too.
func (s *conns) spreadGoAway(m *shutdown.Manager, stop <-chan struct{}) {
	r := m.Report()
	if r.LameDuck == 0 {
		return
	}
	end := r.Begun.Add(r.LameDuck)
	step := min(max(r.LameDuck/100, 5*time.Millisecond), 100*time.Millisecond)
	tick := time.NewTicker(step)
	defer tick.Stop()
	share := 0.0
	for last := r.Begun; ; {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		now := time.Now()
		left := s.untold(end)
		share += float64(len(left)) * min(1, float64(now.Sub(last))/float64(max(end.Sub(last), 1)))
		last = now
		for _, f := range left {
			if share < 1 {
				break
			}
			if f.tell() {
				share--
			}
		}
	}
}

// untold returns who has not been told yet, of those who came before end: where
// Leave takes longer than the lame duck, a client that comes back to the same
// instance would be told at each tick.
func (s *conns) untold(end time.Time) (list []*framed) {
	for _, c := range s.all() {
		// Who has just connected would have to dial again for the first RPC. That
		// costs time and nothing else, so it is not for long.
		if f := c.frames.Load(); c.settled(time.Second) && c.ready.Load().Before(end) && f.untold() {
			list = append(list, f)
		}
	}
	return list
}

// Creds makes a server that does TLS, or something like it, spread its GOAWAYs
// over the lame duck. Without it all clients are told when Drain begins, at
// once; nothing is lost by that.
//
//	srv := grpc.NewServer(append(grpcserver.Options(m), grpc.Creds(grpcserver.Creds(creds)))...)
//
// It is needed because gRPC encrypts what it writes below everything that Start
// can see.
func Creds(creds credentials.TransportCredentials) credentials.TransportCredentials {
	return spreadCreds{creds}
}

type spreadCreds struct {
	credentials.TransportCredentials
}

func (c spreadCreds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := c.TransportCredentials.ServerHandshake(raw)
	if ours, ok := raw.(*conn); ok && err == nil && secure != nil {
		f := &framed{Conn: secure, conn: ours}
		ours.frames.Store(f)
		secure = f
	}
	return secure, info, err
}

func (c spreadCreds) Clone() credentials.TransportCredentials {
	return spreadCreds{c.TransportCredentials.Clone()}
}
