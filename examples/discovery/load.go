package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const clients = 8

// A result counts requests by outcome.
type result struct {
	answered int
	lost     map[string]int // by kind
	late     map[string]int // lost because the gateway was late, by kind
}

func sum(lost map[string]int) (n int) {
	for _, kind := range lost {
		n += kind
	}
	return n
}

func (r result) kinds() string {
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(r.lost)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, r.lost[kind]))
	}
	return strings.Join(kinds, ", ")
}

// A load sends orders to the gateway until end is called.
type load struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex // protects what follows
	result result
}

func startLoad(gateway string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, result: result{lost: make(map[string]int), late: make(map[string]int)}}
	for client := range clients {
		l.wg.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				l.count(order(transport, gateway, fmt.Sprintf("coffee %d-%d", client, n)))
				time.Sleep(time.Millisecond)
			}
		})
	}
	return l
}

func (l *load) count(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.result.answered++
	} else if kind, late := strings.CutPrefix(err.Error(), tooLate); late {
		l.result.late[kind]++
	} else {
		l.result.lost[kind]++
	}
}

// waitFor waits for n more answers.
func (l *load) waitFor(ctx context.Context, n int) error {
	answered := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.result.answered
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := answered() + n; answered() < end; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for answers: %w", context.Cause(ctx))
		}
	}
	return nil
}

// end stops the load and waits for the last answers.
func (l *load) end() result {
	l.stop()
	l.wg.Wait()
	return l.result
}

// order sends one request. An error is the reason for the loss, in one word.
func order(transport *http.Transport, gateway, what string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+gateway+"/orders", strings.NewReader(what))
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return errors.New(kind(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return errors.New(kind(err))
	case resp.StatusCode == http.StatusBadGateway:
		return errors.New(strings.TrimSpace(string(answer)))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", resp.StatusCode)
	case string(answer) != what+" is ready":
		return errors.New("wrong answer")
	}
	return nil
}

const refused = "refused"

// kind returns one word for err.
func kind(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "EOF"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}
