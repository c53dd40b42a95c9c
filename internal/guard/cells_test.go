package guard

import (
	"fmt"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// cells returns the matrix. It has each combination of protocol, kind of answer and
// lame duck. Every other cell differs from the base, which is HTTP/1.1 with
// keep-alive, in one thing.
func cells() []cell {
	all := []cell{{name: "base"}}
	all = append(all, connections()...)
	all = append(all, between()...)
	all = append(all, streams()...)
	all = append(all, gRPC()...)
	for i := range all {
		all[i].quick = true
		if all[i].service.Answer.Kind == "" {
			all[i].service.Answer = answer{whole, true}
		}
		if all[i].service.Protocol == "" {
			all[i].service.Protocol, all[i].traffic.mode = http1, load.KeepAlive
		}
	}
	return append(all, product()...)
}

// product has a cell for each combination of protocol, kind of answer and lame duck.
func product() (all []cell) {
	for _, p := range []protocol{http1, https1, h2, h2c} {
		for _, k := range []kind{whole, pieces, early} {
			for _, length := range []bool{true, false} {
				for _, lameDuck := range []time.Duration{0, time.Second} {
					c := cell{service: service{Protocol: p, Answer: answer{k, length}, LameDuck: lameDuck}}
					c.name = fmt.Sprintf("%s, %s, lame duck %v", p, c.service.Answer, lameDuck)
					c.traffic.mode = load.KeepAlive
					if p.http2() {
						c.traffic.mode = load.HTTP2
					}
					// One cell of each protocol that the other cells do not have.
					c.quick = p != http1 && k == pieces && !length && lameDuck > 0
					if lameDuck > 0 {
						// Many clients that never pause for a second would take the
						// processor from the other rounds. A connection counts as idle
						// after 40 ms.
						c.traffic.pause, c.traffic.few = 15*time.Millisecond, true
					}
					all = append(all, c)
				}
			}
		}
	}
	return all
}

// connections varies how clients use connections.
func connections() []cell {
	return []cell{
		{name: "new connections", service: service{Protocol: http1}, traffic: traffic{mode: load.NewConn}},
		{name: "new connections, TLS", service: service{Protocol: https1}, traffic: traffic{mode: load.NewConn}},
		{name: "pause 20ms", traffic: traffic{pause: 20 * time.Millisecond}},
		{name: "pause 60ms", traffic: traffic{pause: 60 * time.Millisecond}},
		{name: "pause 200ms", traffic: traffic{pause: 200 * time.Millisecond}},
		{name: "HTTP/2 TLS, 16 streams", service: service{Protocol: h2}, traffic: traffic{mode: load.HTTP2Shared, streams: 16}},
		{name: "HTTP/2 clear, 16 streams", service: service{Protocol: h2c}, traffic: traffic{mode: load.HTTP2Shared, streams: 16}},
		{name: "HTTP/2 TLS, 16 streams, pieces", service: service{Protocol: h2, Answer: answer{pieces, false}}, traffic: traffic{mode: load.HTTP2Shared, streams: 16}},
		{name: "HTTP/2 clear, 16 streams, pieces", service: service{Protocol: h2c, Answer: answer{pieces, false}}, traffic: traffic{mode: load.HTTP2Shared, streams: 16}},
		{name: "HTTP/2 TLS, 16 streams, 1 to 10 pieces", service: service{Protocol: h2, Answer: answer{fewPieces, false}}, traffic: traffic{mode: load.HTTP2Shared, streams: 16}},
		{name: "HTTP/2 clear, 16 streams, 1 to 10 pieces", service: service{Protocol: h2c, Answer: answer{fewPieces, false}}, traffic: traffic{mode: load.HTTP2Shared, streams: 16}},
		{name: "HTTP/2 TLS, 16 streams, 50ms round trip", service: service{Protocol: h2, Answer: answer{fewPieces, false}}, traffic: traffic{mode: load.HTTP2Shared, streams: 16, delay: 25 * time.Millisecond}},
		{name: "HTTP/2 clear, 16 streams, 50ms round trip", service: service{Protocol: h2c, Answer: answer{fewPieces, false}}, traffic: traffic{mode: load.HTTP2Shared, streams: 16, delay: 25 * time.Millisecond}},
		{name: "HTTP/2 TLS, 16 streams, whole, 50ms round trip", service: service{Protocol: h2}, traffic: traffic{mode: load.HTTP2Shared, streams: 16, delay: 25 * time.Millisecond}},
		{name: "SIGTERM before Wait", service: service{LateWait: true}},
	}
}

// between varies what is between the clients and the code that answers.
func between() []cell {
	return []cell{
		{name: "ReverseProxy in front", traffic: traffic{proxied: true}},
		{name: "ReverseProxy as the handler", service: service{Handler: reverseProxy}},
		{name: "behind TimeoutHandler", service: service{Handler: timeoutHandler}},
	}
}

// streams has the cells with a stream.
func streams() (all []cell) {
	for _, k := range []streamKind{sse, webSocket} {
		for _, e := range []ender{drainHook, registered, nobody} {
			c := cell{
				name:    fmt.Sprintf("%s ended by %s", k, e),
				service: service{Stream: stream{k, e}, Grace: 5 * time.Second},
				promise: promise{stream: "ended"},
			}
			if e == nobody {
				c.promise = promise{stream: "cut", exit: 1} // the stream is in flight at the deadline
			}
			all = append(all, c)
		}
	}
	return all
}

// gRPC varies the calls and the lame duck.
func gRPC() (all []cell) {
	for _, lameDuck := range []time.Duration{0, time.Second} {
		for _, k := range []calls{perCall, shared, serverStreams, bidiStreams} {
			c := cell{
				name:    fmt.Sprintf("gRPC %s, lame duck %v", k, lameDuck),
				service: service{Protocol: rpc, LameDuck: lameDuck},
				traffic: traffic{calls: k},
			}
			if lameDuck > 0 {
				c.traffic.pause = 15 * time.Millisecond
			}
			all = append(all, c)
		}
	}
	return all
}
