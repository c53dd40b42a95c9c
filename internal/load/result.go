package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Result has the outcomes of the requests of one run or of several.
type Result struct {
	Requests  int            // that were sent; each was answered or lost
	Lost      map[string]int // by kind: RST, EOF, EPIPE, GOAWAY, closed, Unsent, a status such as 503 or gRPC 14, timeout, DialReset, dial timeout, other: ...
	Later     int            // of the requests, those that started after Mark
	LaterLost int            // of the losses, those that started after Mark
	Refused   int            // refused dials
	HeldUp    int            // dials that took over 0.5 s or had no answer when the run ended
	Delayed   int            // requests that were answered after over 0.5 s
	LastReply time.Time      // when the last complete and correct response came

	// IdleBefore has an element for each request that was lost because its connection
	// ended before a response: how long the connection had been idle when the request
	// was written. On Linux that is what the kernel knows, elsewhere what the client knows.
	// With TLS it is too short if the client reads a response and the alert that ends the
	// connection at once; Ended helps then.
	// A server may close an idle connection in that moment.
	IdleBefore []time.Duration

	// Ended has an element for each of those requests, too, for a server on the same machine
	// that can say more about the connection.
	Ended []Ended

	// These show whether the machine was too slow. They are measured from Warm on, if
	// that was called.
	Slowest time.Duration // the longest time of a request that was answered
	Silence time.Duration // the longest time without a write on a connection, including the dial
}

// Ended is a connection that ended before a response.
type Ended struct {
	Client string    // the client's address
	Wrote  time.Time // when the kernel had taken the beginning of the request or, if nothing was written, when the client noticed the end
}

// Add adds another result to r.
func (r *Result) Add(other Result) {
	r.Requests += other.Requests
	r.Later += other.Later
	r.LaterLost += other.LaterLost
	r.Refused += other.Refused
	r.HeldUp += other.HeldUp
	r.Delayed += other.Delayed
	if other.LastReply.After(r.LastReply) {
		r.LastReply = other.LastReply
	}
	r.IdleBefore = append(r.IdleBefore, other.IdleBefore...)
	r.Ended = append(r.Ended, other.Ended...)
	r.Slowest = max(r.Slowest, other.Slowest)
	r.Silence = max(r.Silence, other.Silence)
	for kind, n := range other.Lost {
		if r.Lost == nil {
			r.Lost = make(map[string]int)
		}
		r.Lost[kind] += n
	}
}

// Losses returns the number of lost requests of all kinds.
func (r Result) Losses() int {
	sum := 0
	for _, n := range r.Lost {
		sum += n
	}
	return sum
}

// Kinds lists the losses by kind, the most frequent first: "RST 121, EOF 59". It is
// empty without losses.
func (r Result) Kinds() string {
	kinds := slices.SortedFunc(maps.Keys(r.Lost), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Lost[b], r.Lost[a]), cmp.Compare(a, b))
	})
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%s %d", kind, r.Lost[kind])
	}
	return strings.Join(kinds, ", ")
}

// Answer counts a request that has just been answered; later means that it started after
// Mark.
func (r *Result) Answer(later bool) {
	one := Result{Requests: 1, LastReply: time.Now()}
	if later {
		one.Later = 1
	}
	r.Add(one)
}

// Lose counts a request that was lost; later means that it started after Mark.
func (r *Result) Lose(kind string, later bool) {
	one := Result{Requests: 1, Lost: map[string]int{kind: 1}}
	if later {
		one.Later, one.LaterLost = 1, 1
	}
	r.Add(one)
}

// DialReset is the kind of a loss in which the dial was reset, so that the client never
// had a connection.
const DialReset = "dial RST"

// Unsent is the kind of a loss in which nothing of the request was sent. It had been
// assigned to an HTTP/2 connection when a GOAWAY arrived there. net/http would use another
// connection, but has closed the body, and cannot do so without GetBody
// (golang/go#62450).
const Unsent = "unsent"

// connectionLost are the kinds of losses in which the connection ended before a response.
var connectionLost = []string{"RST", "EOF", "EPIPE", "closed", Unsent, "EOF after GOAWAY"}

// heldUp is longer than a dial or a request takes that is answered at once. A SYN that was
// dropped is repeated after one second.
const heldUp = 500 * time.Millisecond

var errWrongAnswer = errors.New("wrong answer")

type statusError int

func (e statusError) Error() string { return strconv.Itoa(int(e)) }

// dialError distinguishes the errors of a dial from those of a connection.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// Kind returns the kind of the loss of a request that failed with err.
func Kind(err error) string {
	var (
		status  statusError
		grpc    grpcError
		dial    *dialError
		timeout interface{ Timeout() bool }
		text    = err.Error()
	)
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &grpc):
		return grpc.Error()
	// net/http does not export its GOAWAY errors and its "server closed idle
	// connection", so they are recognized by their text. A GOAWAY error may wrap the EOF
	// that came after it, and explains more.
	case strings.Contains(text, "GOAWAY and closed the connection"):
		return "EOF after GOAWAY"
	case strings.Contains(text, "GOAWAY"):
		return "GOAWAY"
	case errors.As(err, &dial) && errors.Is(err, syscall.ECONNRESET):
		return DialReset
	case errors.Is(err, syscall.ECONNRESET):
		return "RST"
	case errors.Is(err, syscall.EPIPE):
		return "EPIPE"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "server closed idle connection"):
		return "EOF"
	// net/http has seen the end of the connection, and closed it, before it wrote.
	case errors.Is(err, net.ErrClosed), strings.Contains(text, "http2: client conn is closed"):
		return "closed"
	case strings.Contains(text, "cannot rewind body after connection loss"), strings.Contains(text, "http2: client conn not usable"):
		return Unsent
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if errors.As(err, &dial) {
			// The SYN is neither answered nor refused.
			return "dial timeout"
		}
		return "timeout"
	}
	return "other: " + anonymous(err)
}

// anonymous returns the text of an error without addresses, ports and stream numbers, so
// that errors of the same kind are counted together.
func anonymous(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return numbers.ReplaceAllString(err.Error(), "${1}N")
}

var numbers = regexp.MustCompile(`(ID |:)\d+`)
