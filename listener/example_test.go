package listener_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/listener"
)

// A server that ends after its last client, not with it.
func Example() {
	ln, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}

	var loop, conns sync.WaitGroup
	loop.Go(func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(5 * time.Millisecond) // out of file descriptors, for example
				continue
			}
			conns.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, "hello")
			})
		}
	})

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := ln.Drain(ctx); err != nil {
		log.Print(err)
	}
	loop.Wait()
	conns.Wait()

	answer, err := io.ReadAll(client)
	fmt.Println(string(answer), err)
	// Output: hello <nil>
}
