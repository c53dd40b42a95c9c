package discovery_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/gracefulgo/shutdown/discovery"
)

// A phoneBook stands for the client of a registry. It forgets everything once.
type phoneBook struct {
	forgot     bool
	registered chan string
}

func (b *phoneBook) Add(_ context.Context, addr string) error {
	fmt.Println("add", addr)
	b.registered <- addr
	return nil
}

func (b *phoneBook) Heartbeat(_ context.Context, addr string) (known bool, err error) {
	if b.forgot {
		return true, nil
	}
	b.forgot = true
	fmt.Println("heartbeat of", addr+", which is not known")
	return false, nil
}

func (b *phoneBook) Remove(_ context.Context, addr string) error {
	fmt.Println("remove", addr)
	return nil
}

// A bookRegistrar registers one instance. A Registrar for several instances has one
// KeepAlive for each.
type bookRegistrar struct {
	book      *phoneBook
	keepAlive discovery.KeepAlive
}

var _ discovery.Registrar[string] = (*bookRegistrar)(nil)

func (r *bookRegistrar) Register(ctx context.Context, addr string) error {
	const ttl = 30 * time.Millisecond // 15 s in practice
	register := func(ctx context.Context) (time.Duration, error) {
		return ttl, r.book.Add(ctx, addr)
	}
	renew := func(ctx context.Context) (lost bool, err error) {
		known, err := r.book.Heartbeat(ctx, addr)
		return err == nil && !known, err
	}
	return r.keepAlive.Register(ctx, register, renew)
}

func (r *bookRegistrar) Deregister(ctx context.Context, addr string) error {
	return r.keepAlive.Deregister(ctx, func(ctx context.Context) error {
		return r.book.Remove(ctx, addr)
	})
}

func ExampleKeepAlive() {
	book := &phoneBook{registered: make(chan string, 2)}
	r := &bookRegistrar{book: book, keepAlive: discovery.KeepAlive{Logger: slog.New(slog.DiscardHandler)}}

	// discovery.Register(ctx, m, r, "10.0.0.7:8080") calls both methods.
	if err := r.Register(context.Background(), "10.0.0.7:8080"); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		<-book.registered
	}
	if err := r.Deregister(context.Background(), "10.0.0.7:8080"); err != nil {
		log.Fatal(err)
	}
	// Output:
	// add 10.0.0.7:8080
	// heartbeat of 10.0.0.7:8080, which is not known
	// add 10.0.0.7:8080
	// remove 10.0.0.7:8080
}
