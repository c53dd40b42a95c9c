package main

import (
	"context"
	"net/http"
	"os/signal"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without drains with net/http, which does not know of WebSockets.
func without() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: addr, Handler: &hub{closing: context.Background(), clients: make(map[*websocket.Conn]bool)}}
	go func() { _ = srv.ListenAndServe() }()
	<-ctx.Done()
	_ = srv.Shutdown(context.Background())
}

// join connects two clients and sends a message from one to both.
func join(t *testing.T, p *recipetest.Process) (a, b *websocket.Conn) {
	t.Helper()
	p.AwaitListen()
	dial := func() *websocket.Conn {
		c, _, err := websocket.Dial(t.Context(), "ws://"+p.Addr, nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.CloseNow() })
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte("hello")))
		_, message, err := c.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, "hello", string(message))
		return c
	}
	a, b = dial(), dial()
	_, message, err := a.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hello", string(message), "of b")
	return a, b
}

func TestEachClientIsToldThatTheServerGoesAway(t *testing.T) {
	p := recipetest.Start(t, "recipe")
	a, b := join(t, p)
	p.Terminate()
	for _, c := range []*websocket.Conn{a, b} {
		_, _, err := c.Read(t.Context())
		require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err), "%v", err)
	}
	p.ExitsWell()
}

func TestWithoutItTheConnectionBreaks(t *testing.T) {
	p := recipetest.Start(t, "without")
	a, b := join(t, p)
	p.Terminate()
	for _, c := range []*websocket.Conn{a, b} {
		_, _, err := c.Read(t.Context())
		require.ErrorContains(t, err, "EOF")
		require.Equal(t, websocket.StatusCode(-1), websocket.CloseStatus(err))
	}
	require.Equal(t, "exit status 0", p.Exit())
}
