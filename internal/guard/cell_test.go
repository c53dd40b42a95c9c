package guard

import (
	"fmt"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/testcert"
)

// A cell is one kind of server under one kind of load, and its promise.
type cell struct {
	name    string
	service service
	traffic traffic
	promise promise
	quick   bool // the cell also runs without -cells
}

// A service is the server of a child process, which gets it as JSON.
type service struct {
	Library  bool // if false, net/http or grpc-go alone, used as documented there
	Protocol protocol
	Handler  handler
	Answer   answer
	Backend  string        // address of the server behind a reverse proxy
	LameDuck time.Duration // in the control: a sleep before Shutdown
	Grace    time.Duration // grace period; 0 means 10 s
	Stream   stream
	LateWait bool // SIGTERM arrives before main has called Wait
	Cert     testcert.Certificate
}

// protocol is the protocol of the server.
type protocol string

const (
	http1  protocol = "HTTP/1.1"
	https1 protocol = "HTTP/1.1 TLS"
	h2     protocol = "HTTP/2 TLS"
	h2c    protocol = "HTTP/2 clear"
	rpc    protocol = "gRPC"
)

func (p protocol) tls() bool   { return p == https1 || p == h2 }
func (p protocol) http2() bool { return p == h2 || p == h2c }

// handler is what is between the server and the code that answers.
type handler string

const (
	direct         handler = ""
	reverseProxy   handler = "ReverseProxy"   // to a server that outlives this one
	timeoutHandler handler = "TimeoutHandler" // of net/http
)

// An answer is how a response is written.
type answer struct {
	Kind   kind
	Length bool // with Content-Length; otherwise chunked, or in HTTP/2 without a length
}

// kind is when the parts of a response are written.
type kind string

const (
	whole  kind = "whole"  // header and body when the work is done
	pieces kind = "pieces" // header and first piece after a tenth of it
	early  kind = "early"  // the header at once, the body when the work is done

	fewPieces kind = "1 to 10 pieces"
)

func (a answer) String() string {
	if a.Length {
		return string(a.Kind) + ", Content-Length"
	}
	return string(a.Kind) + ", chunked"
}

// A stream is held open by one more client until the server ends it.
type stream struct {
	Kind  streamKind
	Ender ender
}

type streamKind string

const (
	noStream  streamKind = ""
	sse       streamKind = "SSE"
	webSocket streamKind = "WebSocket"
)

// ender is what tells the handler of a stream to end it.
type ender string

const (
	nobody     ender = "nobody"
	registered ender = "RegisterOnShutdown"
	drainHook  ender = "a Drain hook"
)

// traffic describes the load.
type traffic struct {
	mode    load.Mode     // of HTTP
	streams int           // of a connection, with load.HTTP2Shared
	pause   time.Duration // between an answer and the client's next request
	few     bool          // a quarter of the HTTP clients send short requests, not half
	delay   time.Duration // of each direction of a connection
	proxied bool          // through a reverse proxy, which outlives the service
	calls   calls         // of gRPC
}

// A promise is what the rounds with the library must keep: no request is lost, no dial is
// reset, hardly any dial takes long, and what is below.
type promise struct {
	exit   int    // status of the process
	stream string // how the stream ends: ended, or cut; "" if there is none
}

// part is a part of a promise.
type part string

const (
	losses     part = "losses"
	dials      part = "dials"
	exitStatus part = "exit status"
	streamEnd  part = "stream"
)

func (p promise) String() string {
	text := "0 lost"
	if p.stream != "" {
		text += ", stream " + p.stream
	}
	if p.exit != 0 {
		text += fmt.Sprintf(", exit %d", p.exit)
	}
	return text
}
