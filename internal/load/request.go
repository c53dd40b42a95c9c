package load

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

// A Request is what the clients send to a server whose responses they do not know. A
// response counts if it is complete and its status is below 400.
//
// A response that has neither a Content-Length nor chunks ends with its connection, as in
// HTTP/1.0. If such a connection is closed early, the client cannot see that something is
// missing.
type Request struct {
	Method string // "" means GET
	Header http.Header
	Body   string

	// GRPC makes the request a unary call; the path is the method, and Body is the encoded
	// message. It counts if its status is OK. All modes use HTTP/2 then.
	GRPC bool
}

// Send sends the request and returns why it was not answered. sent is what Content
// returns, to be read once.
func (r *Request) Send(ctx context.Context, transport http.RoundTripper, url string, sent io.Reader) error {
	// net/http would repeat a GET without a body, and any request whose body it knows how
	// to read again, when the connection is lost.
	var once io.Reader = struct{ io.Reader }{sent}
	if r.Content() == "" && slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, r.Method) {
		once = http.NoBody // or net/http sends chunks, which some servers refuse
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodGet), url, once)
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(r.Content()))
	for key, values := range r.Header {
		req.Header[key] = values
		if key == "Host" {
			req.Host = values[0] // net/http ignores it in Header
		}
	}
	if r.GRPC {
		req.Method = http.MethodPost
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	switch {
	case resp.StatusCode >= http.StatusBadRequest:
		return statusError(resp.StatusCode)
	case r.GRPC:
		return grpcStatus(resp)
	}
	return nil
}

// Content returns what is sent as the body.
func (r *Request) Content() string {
	if !r.GRPC {
		return r.Body
	}
	var prefix [5]byte // not compressed, and the length
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(r.Body)))
	return string(prefix[:]) + r.Body
}

func (c *client) send(ctx context.Context) error {
	if c.request == nil {
		return c.sendOwnBody(ctx)
	}
	return c.request.Send(ctx, c.transport, c.url, strings.NewReader(c.request.Content()))
}

// A grpcError is the status of a call: 14 is UNAVAILABLE.
type grpcError string

func (e grpcError) Error() string { return "gRPC " + string(e) }

var errNoGRPC = errors.New("no gRPC status")

// grpcStatus returns the error of a call.
func grpcStatus(resp *http.Response) error {
	// A response without a message has the status in its header.
	switch status := cmp.Or(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status")); status {
	case "0":
		return nil
	case "":
		return errNoGRPC
	default:
		return grpcError(status)
	}
}
