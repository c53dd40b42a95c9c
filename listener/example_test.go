package listener_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/listener"
)

// A server accepts every connection in the queue before it stops.
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

// Draining a Unix socket removes its path, so that the next process can bind it.
func ExampleListen() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ln, err := listener.Listen(context.Background(), "unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(ln.Drain(context.Background()))
	_, err = os.Stat(filepath.Join(dir, "socket"))
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output:
	// <nil>
	// true
}

// An announcer prints a line for each connection. New would not find the Listener in
// it, because the field is not exported.
type announcer struct{ inner net.Listener }

func (a announcer) Accept() (net.Conn, error) {
	conn, err := a.inner.Accept()
	if err == nil {
		fmt.Println("accepted a connection")
	}
	return conn, err
}

func (a announcer) Close() error   { return a.inner.Close() }
func (a announcer) Addr() net.Addr { return a.inner.Addr() }

// Draining a wrapper drains the Listener that it wraps.
func ExampleAround() {
	inner, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ln := listener.Around(announcer{inner}, inner)

	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	})
	fmt.Println(ln.Drain(context.Background()))
	loop.Wait()
	// Output:
	// accepted a connection
	// <nil>
}
