//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// dialers bounds how many connections are made at the same time. It is less than the
// length of any listener's queue.
const dialers = 64

// clients are many connections to one server.
type clients struct {
	addr    string
	readers sync.WaitGroup

	mu sync.Mutex // protects what follows
	tally
	conns []net.Conn
}

// A tally counts how requests and connections ended.
type tally struct {
	answered  int            // requests in flight at SIGTERM that were answered
	lastReply time.Time      // to one of those
	reset     int            // connections that ended with a reset
	otherEnds map[string]int // connections that ended with another error than EOF, by error
}

// open makes n connections, and sends a request for path on each. If answeredNow is
// set, it waits for the answers.
func (c *clients) open(ctx context.Context, n int, path string, answeredNow bool) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wait sync.WaitGroup
	turns := make(chan struct{}, dialers)
	for range n {
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			if err := c.openOne(ctx, path, answeredNow); err != nil {
				stop(err)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

func (c *clients) openOne(ctx context.Context, path string, answeredNow bool) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // if it fails, so do reads and writes
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 512)
	if answeredNow {
		if err := readAnswer(in); err != nil {
			return err
		}
	}
	c.readers.Go(func() { c.read(in, !answeredNow) })
	return nil
}

// read waits for the answer, if one is due, and for the end of the connection.
func (c *clients) read(in *bufio.Reader, due bool) {
	if due {
		err := readAnswer(in)
		now := time.Now()
		if err != nil {
			c.ended(err)
			return
		}
		c.mu.Lock()
		c.answered++
		c.lastReply = now // under the lock, so it is the latest but for microseconds
		c.mu.Unlock()
	}
	_, err := in.ReadByte()
	if err == nil {
		err = errors.New("an unexpected byte")
	}
	c.ended(err)
}

func (c *clients) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	case errors.Is(err, syscall.ECONNRESET):
		c.reset++
	default:
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // without the addresses, so that equal ones are counted together
		}
		if c.otherEnds == nil {
			c.otherEnds = make(map[string]int)
		}
		c.otherEnds[err.Error()]++
	}
}

// wait waits until every connection has ended.
func (c *clients) wait() tally {
	c.readers.Wait()
	c.close()
	return c.tally
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close() // its result does not matter any more
	}
	c.conns = nil
}

func readAnswer(in *bufio.Reader) error {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // read to its end
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || string(body) != answer {
		return fmt.Errorf("%s, %q", resp.Status, body)
	}
	return nil
}

// untilInFlight waits until n requests have reached the handlers.
func untilInFlight(ctx context.Context, addr string, n int) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/inflight", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read to its end
		if err != nil {
			return err
		}
		if in, err := strconv.Atoi(string(body)); err != nil || in >= n {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
