package guard

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown"
)

// linger is how long package httpserver waits for a request on an idle connection, less a
// margin for its ticks of 5 ms.
const linger = 40 * time.Millisecond

// idleConns is what a service knows about its idle connections. A client that gets no
// processor cannot tell how long its connection has been idle: with TLS it may read a
// response and the alert that ends the connection at the same time.
type idleConns struct {
	mu    sync.Mutex
	since map[string]time.Time // by the client's address
}

// setState is for http.Server.ConnState. The library sees the state later.
func (i *idleConns) setState(c net.Conn, state http.ConnState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch state {
	case http.StateNew, http.StateIdle:
		i.since[c.RemoteAddr().String()] = time.Now()
	case http.StateActive:
		delete(i.since, c.RemoteAddr().String())
	}
}

const idlePrefix = "guard: idle since "

// print tells the parent. A server lingers from the beginning of the drain at the earliest.
func (i *idleConns) print(r shutdown.Report) {
	drain := r.Begun
	for _, step := range r.Steps {
		if step.Phase == shutdown.Drain && step.Name == "" {
			drain = r.Begun.Add(step.At)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for client, since := range i.since {
		if since.Before(drain) {
			i.since[client] = drain
		}
	}
	text, _ := json.Marshal(i.since) // no error with these types
	fmt.Fprintf(os.Stderr, "%s%s\n", idlePrefix, text)
}

// cutIdle cuts what print has written out of a log.
func cutIdle(log string) (rest string, since map[string]time.Time) {
	before, line, found := strings.Cut(log, idlePrefix)
	if !found {
		return log, nil
	}
	line, after, _ := strings.Cut(line, "\n")
	_ = json.Unmarshal([]byte(line), &since) // without it only the client's idle times count
	return before + after, since
}

// idleTimes returns how long the connections of lost requests had been idle when the requests
// were written. A request that the kernel has within linger is served, so a longer time is
// the limit that package httpserver documents. Where the service does not know the client,
// as behind a proxy, it is the time that the client knows and its longest stall.
func (o outcome) idleTimes() (times []time.Duration) {
	for i, idle := range o.IdleBefore {
		idle += o.stall
		if i < len(o.Ended) {
			if since, known := o.idleSince[o.Ended[i].Client]; known {
				idle = o.Ended[i].Wrote.Sub(since)
			}
		}
		times = append(times, idle)
	}
	return times
}

// onIdleConnections reports whether all losses of a round were on connections that had been
// idle for so long that the service may have been closing them.
func (o outcome) onIdleConnections() bool {
	n := 0
	for _, idle := range o.idleTimes() {
		if idle > linger {
			n++
		}
	}
	return n > 0 && n == o.Losses() && n <= clients
}
