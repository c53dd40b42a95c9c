// Package demo stands for the parts of a program that a recipe leaves out.
package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Addr is where the program listens.
var Addr = cmp.Or(os.Getenv("RECIPE_ADDR"), "localhost:8080")

// AdminAddr is where it serves what only operators and the platform ask for.
var AdminAddr = cmp.Or(os.Getenv("RECIPE_ADMIN_ADDR"), "localhost:9090")

// Work takes three seconds or, in a process that a test has started, until the test
// releases it. It prints what begins, and returns the cause of ctx if that ends before.
func Work(ctx context.Context, what string) error {
	fmt.Println("begun:", what)
	select {
	case <-released():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Order is a handler that works, and answers "done".
func Order(w http.ResponseWriter, r *http.Request) {
	if err := Work(r.Context(), r.URL.Path); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "done")
}

func released() <-chan struct{} {
	if os.Getenv("RECIPE") != "" {
		return stdinEnded()
	}
	after := make(chan struct{})
	time.AfterFunc(3*time.Second, func() { close(after) })
	return after
}

var stdinEnded = sync.OnceValue(func() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end, too
	}()
	return ended
})

// Handle handles a message in 50 ms. It prints the message when it begins, and has an effect
// then and another one when it is done: a line in a file. It returns the cause of ctx if that
// ends before.
func Handle(ctx context.Context, message string) error {
	fmt.Println("begun:", message)
	if err := effect(message + " first"); err != nil {
		return err
	}
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return effect(message + " second")
}

func effect(line string) error {
	f, err := os.OpenFile(cmp.Or(os.Getenv("RECIPE_EFFECTS"), "effects.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}
