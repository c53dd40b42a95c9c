package thirdparty

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// held is how many WebSockets are open when a shutdown begins.
const held = 8

// A library is a WebSocket library.
type library struct {
	// room is a handler that reads until its client closes, and sends a close message
	// when leave is closed.
	room func(opened *atomic.Int64, leave <-chan struct{}) http.HandlerFunc
	// left is a handler that returns and leaves the connection to a goroutine, which
	// sends the error that ended it.
	left func(ends chan<- error) http.HandlerFunc
	// dial opens a WebSocket, and sends how it ended.
	dial func(t *testing.T, addr string) (closed <-chan string)
}

const (
	goneAway = "gone away"
	cut      = "cut"
)

var libraries = map[string]library{
	"gorilla": {
		room: func(opened *atomic.Int64, leave <-chan struct{}) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				conn, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
				if err != nil {
					return // the client has got an error
				}
				defer conn.Close()
				ended := make(chan struct{})
				defer close(ended)
				go func() {
					select {
					case <-leave:
						text := gorilla.FormatCloseMessage(gorilla.CloseGoingAway, "")
						_ = conn.WriteControl(gorilla.CloseMessage, text, time.Now().Add(soon)) // the client notices an error
					case <-ended:
					}
				}()
				opened.Add(1)
				for {
					if _, _, err := conn.ReadMessage(); err != nil {
						return
					}
				}
			}
		},
		left: func(ends chan<- error) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				conn, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
				if err != nil {
					return
				}
				go func() {
					_, _, err := conn.ReadMessage()
					ends <- err
				}()
			}
		},
		dial: func(t *testing.T, addr string) <-chan string {
			conn, resp, err := gorilla.DefaultDialer.DialContext(t.Context(), "ws://"+addr+"/room", nil)
			require.NoError(t, err)
			resp.Body.Close()
			closed := make(chan string, 1)
			go func() {
				defer conn.Close()
				_, _, err := conn.ReadMessage()
				closed <- map[bool]string{true: goneAway, false: cut}[gorilla.IsCloseError(err, gorilla.CloseGoingAway)]
			}()
			return closed
		},
	},
	"coder": {
		room: func(opened *atomic.Int64, leave <-chan struct{}) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				conn, err := coder.Accept(w, r, nil)
				if err != nil {
					return // the client has got an error
				}
				defer conn.CloseNow()
				ended := make(chan struct{})
				defer close(ended)
				go func() {
					select {
					case <-leave:
						_ = conn.Close(coder.StatusGoingAway, "") // the client notices an error
					case <-ended:
					}
				}()
				opened.Add(1)
				for {
					if _, _, err := conn.Read(context.Background()); err != nil {
						return
					}
				}
			}
		},
		left: func(ends chan<- error) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				conn, err := coder.Accept(w, r, nil)
				if err != nil {
					return
				}
				go func() {
					_, _, err := conn.Read(context.Background())
					ends <- err
				}()
			}
		},
		dial: func(t *testing.T, addr string) <-chan string {
			conn, _, err := coder.Dial(t.Context(), "ws://"+addr+"/room", nil)
			require.NoError(t, err)
			closed := make(chan string, 1)
			go func() {
				defer conn.CloseNow()
				_, _, err := conn.Read(context.Background())
				closed <- map[bool]string{true: goneAway, false: cut}[coder.CloseStatus(err) == coder.StatusGoingAway]
			}()
			return closed
		},
	},
}

// whenDraining are the documented ways to learn that Drain has begun: Reached, or a
// Drain hook.
var whenDraining = map[string]func(m *shutdown.Manager) (leave <-chan struct{}){
	"Reached": func(m *shutdown.Manager) <-chan struct{} { return m.Reached(shutdown.Drain) },
	"On": func(m *shutdown.Manager) <-chan struct{} {
		leave := make(chan struct{})
		m.On(shutdown.Drain, "close WebSockets", func(context.Context) error {
			close(leave)
			return nil
		})
		return leave
	},
}

func TestHandlersCanCloseWebSocketsWhenDrainBegins(t *testing.T) {
	for name, lib := range libraries {
		for how, draining := range whenDraining {
			t.Run(name+" "+how, func(t *testing.T) {
				m := manager(t, shutdown.Config{LameDuck: 50 * time.Millisecond}, nil)
				var opened atomic.Int64
				addr := start(t, m, &http.Server{Handler: lib.room(&opened, draining(m))})
				var clients []<-chan string
				for range held {
					clients = append(clients, lib.dial(t, addr))
				}
				eventually(t, "the handlers", func() bool { return opened.Load() == held })
				require.Len(t, m.Tasks(), held)
				require.NoError(t, end(t, m))
				for _, closed := range clients {
					require.Equal(t, goneAway, within(t, "a client's end", closed))
				}
			})
		}
	}
}

// The shutdown takes all of its time, and the log says what it waits for.
func TestWebSocketsThatAreNotClosedHoldTheDrainAndAreLogged(t *testing.T) {
	for name, lib := range libraries {
		t.Run(name, func(t *testing.T) {
			var logs logBuffer
			m := manager(t, shutdown.Config{GracePeriod: 4 * time.Second}, &logs)
			var opened atomic.Int64
			addr := start(t, m, &http.Server{Handler: lib.room(&opened, nil)})
			var clients []<-chan string
			for range held {
				clients = append(clients, lib.dial(t, addr))
			}
			eventually(t, "the handlers", func() bool { return opened.Load() == held })
			m.Begin(nil)
			ended := wait(m)
			eventually(t, "a line that names them", func() bool { return logs.has("shutdown: waiting", fmt.Sprintf("%d x GET /room", held)) })
			require.ErrorIs(t, within(t, "the end of the shutdown", ended), shutdown.ErrTimeout)
			for _, closed := range clients {
				require.Equal(t, cut, within(t, "a client's end", closed))
			}
		})
	}
}

// The drain does not wait for a WebSocket whose handler has returned and left it to a
// goroutine. But the connection is closed before Close hooks run, because they close
// what the goroutine may use.
func TestWebSocketsLeftToAGoroutineAreClosedBeforeCloseHooksRun(t *testing.T) {
	for name, lib := range libraries {
		t.Run(name, func(t *testing.T) {
			m := manager(t, shutdown.Config{}, nil)
			ends := make(chan error, held)
			var before sync.Map
			m.On(shutdown.Close, "database", func(ctx context.Context) error {
				for i := range held {
					select {
					case err := <-ends:
						before.Store(i, err)
					case <-time.After(soon):
						return errors.New("a connection is still open")
					}
				}
				return nil
			})
			addr := start(t, m, &http.Server{Handler: lib.left(ends)})
			var clients []<-chan string
			for range held {
				clients = append(clients, lib.dial(t, addr))
			}
			eventually(t, "the end of the handlers", func() bool { return len(m.Tasks()) == 0 })
			require.Empty(t, ends)
			require.NoError(t, end(t, m))
			before.Range(func(_, err any) bool {
				require.Error(t, err.(error))
				return true
			})
			for _, closed := range clients {
				require.Equal(t, cut, within(t, "a client's end", closed))
			}
		})
	}
}
