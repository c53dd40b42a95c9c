// Websocket is a hub for WebSockets.
package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr = demo.Addr

// A hub sends each message of a client to all of them.
type hub struct {
	closing context.Context

	mu      sync.Mutex // protects clients
	clients map[*websocket.Conn]bool
}

// join adds a client.
func (h *hub) join(c *websocket.Conn) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c] = true
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.clients, c)
	}
}

func (h *hub) broadcast(ctx context.Context, message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		_ = c.Write(ctx, websocket.MessageText, message) // if it fails, Read of c fails as well
		cancel()
	}
}

// recipe

func start(m *shutdown.Manager) error {
	closing, closeWebSockets := context.WithCancel(context.Background())
	m.On(shutdown.Drain, "hub", func(context.Context) error { closeWebSockets(); return nil })
	h := &hub{closing: closing, clients: make(map[*websocket.Conn]bool)}
	_, err := httpserver.Start(m, &http.Server{Addr: addr, Handler: h})
	return err
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	defer h.join(conn)()
	defer context.AfterFunc(h.closing, func() {
		time.Sleep(rand.N(time.Second)) // not all clients should reconnect at once
		conn.Close(websocket.StatusGoingAway, "")
	})()
	for {
		_, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		h.broadcast(r.Context(), message)
	}
}

// end
