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

// A library is one for WebSockets.
type library struct {
	// room is a handler that reads until its client closes, and says good-bye when
	// leave is closed.
	room func(opened *atomic.Int64, leave <-chan struct{}) http.HandlerFunc
	// left is a handler that returns and leaves the connection to a goroutine,
	// which sends what ended it.
	left func(ends chan<- error) http.HandlerFunc
	// dial opens one, and reads until its end.
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
					return // it has answered
				}
				defer conn.Close()
				ended := make(chan struct{})
				defer close(ended)
				go func() {
					select {
					case <-leave:
						bye := gorilla.FormatCloseMessage(gorilla.CloseGoingAway, "")
						_ = conn.WriteControl(gorilla.CloseMessage, bye, time.Now().Add(soon)) // the client sees if it was not
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
					return // it has answered
				}
				defer conn.CloseNow()
				ended := make(chan struct{})
				defer close(ended)
				go func() {
					select {
					case <-leave:
						_ = conn.Close(coder.StatusGoingAway, "") // the client sees if it was not
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

// The recipe: a hook of Drain, or a goroutine that waits for it, tells the handlers.
var goodByes = map[string]func(m *shutdown.Manager) (leave <-chan struct{}){
	"Reached": func(m *shutdown.Manager) <-chan struct{} { return m.Reached(shutdown.Drain) },
	"On": func(m *shutdown.Manager) <-chan struct{} {
		leave := make(chan struct{})
		m.On(shutdown.Drain, "good-byes", func(context.Context) error {
			close(leave)
			return nil
		})
		return leave
	},
}

func TestWebSocketsAreToldWhenDrainBegins(t *testing.T) {
	for name, lib := range libraries {
		for how, goodBye := range goodByes {
			t.Run(name+" "+how, func(t *testing.T) {
				m := manager(t, shutdown.Config{LameDuck: 50 * time.Millisecond}, nil)
				var opened atomic.Int64
				addr := start(t, m, &http.Server{Handler: lib.room(&opened, goodBye(m))})
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

// Without a good-bye the shutdown takes all of its time. The log says what it waits
// for.
func TestWebSocketsThatNobodyTellsAreNamed(t *testing.T) {
	for name, lib := range libraries {
		t.Run(name, func(t *testing.T) {
			var logs journal
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

// What a handler has left to a goroutine nobody waits for; but it has ended when
// Close hooks run, which take away what it uses.
func TestWebSocketsThatAreLeftToAGoroutineEndBeforeClose(t *testing.T) {
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
