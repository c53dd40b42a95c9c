package guard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

func (k streamKind) path() string { return "/stream/" + string(k) }

// lastEvent is the last event of an SSE stream that the server ends.
const lastEvent = "data: end"

// streamHandlers are the handlers of a service's streams.
type streamHandlers struct {
	ended chan struct{}
	end   func() // closes ended: the handlers end their streams
}

func newStreams() streamHandlers {
	ended := make(chan struct{})
	return streamHandlers{ended, sync.OnceFunc(func() { close(ended) })}
}

func (s streamHandlers) serveSSE(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // the client notices an error
	select {
	case <-s.ended:
		fmt.Fprintf(w, "%s\n\n", lastEvent)
	case <-r.Context().Done():
	}
}

// serveWebSocket reads until the client closes, as most WebSocket handlers do.
func (s streamHandlers) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	returned := make(chan struct{})
	defer close(returned)
	go func() {
		select {
		case <-s.ended:
			text := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
			_ = conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second)) // the client notices an error
		case <-returned:
		}
	}()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// hold opens a stream and returns when it is open. The channel gets "ended" if the
// server ends the stream properly, otherwise "cut".
func (k streamKind) hold(ctx context.Context, addr string) (<-chan string, error) {
	how := make(chan string, 1)
	switch k {
	case sse:
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+k.path(), nil)
		if err != nil {
			return nil, err
		}
		transport := &http.Transport{}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		go func() {
			defer transport.CloseIdleConnections()
			defer resp.Body.Close()
			how <- readSSE(resp.Body)
		}()
	case webSocket:
		conn, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+k.path(), nil)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		go func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			_, _, err := conn.ReadMessage()
			var closed *websocket.CloseError
			if errors.As(err, &closed) && closed.Code == websocket.CloseGoingAway {
				how <- "ended"
			} else {
				how <- "cut"
			}
		}()
	}
	return how, nil
}

func readSSE(body io.Reader) string {
	how := "cut"
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == lastEvent {
			how = "ended"
		}
	}
	if lines.Err() != nil {
		return "cut"
	}
	return how
}
