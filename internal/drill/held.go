package drill

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// heldFor is how long after the stop the client of a held request sends its last byte.
const heldFor = time.Second

// untilHeldIsSent is how long a dial of it may take.
const untilHeldIsSent = 5 * time.Second

// The outcomes of a held request. Others are kinds of losses.
const (
	answered       = "answered"
	answeredBefore = "answered before the stop"
)

// A heldRequest is in flight when the program is stopped: its path takes long, or its
// client withholds the last byte of the body. Nil is none.
type heldRequest struct {
	body    *lastByteLater
	cancels context.CancelFunc
	stop    time.Time // set by stopping
	ended   time.Time // set before outcome is sent
	outcome chan string
}

// sendHeld sends a held request if there is a path for it or a body, and returns when its
// handler may have begun. An error means that it has failed already.
func sendHeld(ctx context.Context, t *Target, mode load.Mode) (*heldRequest, error) {
	request, path := t.Request, t.Path
	switch {
	case t.Held != "":
		path = t.Held
		request = &load.Request{}
		if t.Request != nil {
			request.Header = t.Request.Header
		}
	case request == nil || request.GRPC || request.Body == "":
		return nil, nil
	}
	h := &heldRequest{outcome: make(chan string, 1)}
	h.body = &lastByteLater{content: strings.NewReader(request.Content()), send: make(chan struct{})}
	if t.Held != "" {
		h.body.sendLast()
	}
	sent := make(chan struct{})
	var once sync.Once
	traced := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		WroteHeaders: func() { once.Do(func() { close(sent) }) },
	})
	traced, h.cancels = context.WithCancel(traced)
	go func() {
		transport := t.transport(mode)
		defer transport.CloseIdleConnections()
		outcome := answered
		if err := request.Send(traced, transport, t.url(path), h.body); err != nil {
			outcome = load.Kind(err)
		}
		h.ended = time.Now()
		h.outcome <- outcome
	}()
	select {
	case <-sent:
		pause(ctx, 50*time.Millisecond)
	case <-time.After(untilHeldIsSent):
	case <-ctx.Done():
	}
	select {
	case outcome := <-h.outcome:
		if outcome != answered {
			return nil, fmt.Errorf("the held request failed before the stop: %s", outcome)
		}
		h.outcome <- outcome
	default:
	}
	return h, nil
}

// stopping is called when the program is being stopped.
func (h *heldRequest) stopping(now time.Time) {
	if h == nil {
		return
	}
	h.stop = now
	time.AfterFunc(heldFor, h.body.sendLast)
}

// wait is called when the program has exited. It returns the outcome. What the program has
// left may keep the connection open, so it does not wait for that.
func (h *heldRequest) wait() string {
	if h == nil {
		return ""
	}
	cancelled := time.AfterFunc(heldFor, h.cancels)
	defer cancelled.Stop()
	outcome := <-h.outcome
	switch {
	case outcome == answered && h.ended.Before(h.stop):
		return answeredBefore
	case outcome != answered && !cancelled.Stop():
		return "timeout"
	}
	return outcome
}

// cancel ends a request whose outcome is of no interest.
func (h *heldRequest) cancel() {
	if h != nil {
		h.cancels()
		h.body.sendLast()
	}
}

// lastByteLater is a body whose last byte can be read after sendLast.
type lastByteLater struct {
	content *strings.Reader
	send    chan struct{}
	once    sync.Once
}

func (b *lastByteLater) sendLast() { b.once.Do(func() { close(b.send) }) }

func (b *lastByteLater) Read(p []byte) (int, error) {
	if left := b.content.Len(); left > 1 {
		p = p[:min(len(p), left-1)]
	} else if left == 1 {
		<-b.send
	}
	return b.content.Read(p)
}
