package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gracefulgo/shutdown"
)

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := shutdown.New(shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, GracePeriod: 30*time.Second, LameDuck: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stdout, nil))})
		if err != nil { t.Fatal(err) }
		hang := make(chan struct{})
		m.On(shutdown.Leave, "consul", func(ctx context.Context) error { time.Sleep(300*time.Millisecond); return nil })
		m.On(shutdown.Drain, "http", func(ctx context.Context) error { <-hang; return nil })
		m.On(shutdown.Close, "db", func(ctx context.Context) error { time.Sleep(time.Second); return errors.New("boom") })
		m.On(shutdown.Close, "file", func(ctx context.Context) error { time.Sleep(2*time.Second); panic("x") })
		m.Track("GET /orders/{id}")
		time.Sleep(time.Minute)
		t0 := time.Now()
		m.Begin(nil)
		err = m.Wait()
		fmt.Println(time.Since(t0), err)
		fmt.Println(m.Report())
		close(hang)
	})
}
