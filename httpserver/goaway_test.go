package httpserver_test

import (
	"encoding/binary"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestAGoAwayExcludesNoStreamOfTheConnection(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	entered, next := make(chan struct{}), make(chan struct{})
	c, addr := startH2(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-next
	}))
	var streams []uint32
	for range 5 {
		streams = append(streams, c.get("/"))
		within(t, "the request", entered)
	}
	m.Begin(nil)
	waitRefused(t, addr)
	// A request on an open connection is still accepted: only a GOAWAY can tell the
	// client not to send it.
	streams = append(streams, c.get("/"))
	within(t, "a request in the drain", entered)
	for range streams {
		next <- struct{}{}
	}
	ended, goAway, last := c.rest()
	require.ElementsMatch(t, streams, ended)
	require.True(t, goAway)
	require.GreaterOrEqual(t, last, streams[len(streams)-1])
	require.NoError(t, end(t, m))
}

// Requests that have no response yet when the GOAWAY comes are answered after it.
func TestStreamsThatEndAfterTheGoAwayAreAnswered(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	mux := http.NewServeMux()
	mux.Handle("/held", g)
	c, _ := startH2(t, m, mux)
	held := c.get("/held")
	within(t, "the request", g.entered)
	freeze := frozen(t, m)
	quick := c.get("/")
	f := c.read2(frameHeaders, frameGoAway)
	if f.kind == frameHeaders {
		require.Equal(t, quick, f.stream)
		c.read(frameGoAway, 0)
	}
	freeze.Open()
	g.Open()
	ended, _, _ := c.rest()
	require.Contains(t, ended, held)
	require.NoError(t, end(t, m))
}

func TestAnIdleHTTP2ConnectionGetsAGoAwayBeforeItIsClosed(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	c, _ := startH2(t, m, handle(func(http.ResponseWriter, *http.Request) {}).Handler)
	c.get("/")
	c.read(frameHeaders, flagEndStream)
	m.Begin(nil)
	_, goAway, _ := c.rest()
	require.True(t, goAway)
}

// The first GOAWAY has no limit and comes before the responses. So the requests that the
// client sends before it has read the GOAWAY are answered.
func TestTheFirstGoAwayDiscardsNoRequest(t *testing.T) {
	t.Parallel()
	var good, bad int
	for range 50 {
		switch unlimited, late := firstGoAway(t); {
		case unlimited:
			good++
		case !late:
			bad++ // may happen once, if a goroutine of net/http is suspended after a write
		}
		require.Less(t, bad, 2, "the responses came before the GOAWAY")
		if good == 3 {
			return
		}
	}
	t.Fatal("the responses came before the GOAWAY, each time")
}

// firstGoAway reports whether the first GOAWAY is the one without a limit. If not, late
// reports whether the machine was too slow to have both responses ready in time.
func firstGoAway(t *testing.T) (unlimited, late bool) {
	m := manager(t, shutdown.Config{})
	entered, next := make(chan struct{}), make(chan struct{})
	c, _ := startH2(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-next
	}))
	c.get("/")
	c.get("/")
	within(t, "the request", entered)
	within(t, "the request", entered)
	freeze := frozen(t, m) // in Drain, the connection would be closed if the last request were late
	// The first response is held until the other is ready.
	ready := time.Now()
	next <- struct{}{}
	next <- struct{}{}
	f := c.read2(frameHeaders, frameGoAway)
	unlimited = f.kind == frameGoAway && binary.BigEndian.Uint32(f.payload) == 1<<31-1
	if !unlimited {
		late = time.Since(ready) > 90*time.Millisecond // then there is only net/http's GOAWAY, before or after a response
		freeze.Open()
		return unlimited, late
	}
	onItsWay := c.get("/")
	// If the responses are written late, net/http sends its own GOAWAY too.
	if unlimited = !c.limited(2); !unlimited {
		late = time.Since(ready) > 450*time.Millisecond
		freeze.Open()
		return unlimited, late
	}
	within(t, "the request that was on its way", entered)
	next <- struct{}{}
	freeze.Open()
	ended, _, _ := c.rest()
	require.Equal(t, []uint32{onItsWay}, ended)
	require.NoError(t, end(t, m))
	return unlimited, late
}

// http.Server.Shutdown sends a GOAWAY that discards requests on their way, so the client
// first has time to act on the first GOAWAY.
func TestARequestThatComesAWhileAfterTheFirstGoAwayIsAnswered(t *testing.T) {
	t.Parallel()
	for range 50 {
		if late := requestAfterGoAway(t); !late {
			return
		}
	}
	t.Fatal("the machine was too slow, each time")
}

// requestAfterGoAway sends a request 150 ms after the first GOAWAY, while another one is
// being handled. It reports whether the machine was too slow for that.
func requestAfterGoAway(t *testing.T) (late bool) {
	m := manager(t, shutdown.Config{})
	entered, next := make(chan struct{}), make(chan struct{})
	c, _ := startH2(t, m, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-next
	}))
	c.get("/")
	c.get("/")
	within(t, "the request", entered)
	within(t, "the request", entered)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	responding := time.Now()
	next <- struct{}{}
	f := c.read2(frameGoAway, frameGoAway)
	unlimited := binary.BigEndian.Uint32(f.payload) == 1<<31-1
	time.Sleep(150 * time.Millisecond) // the way of the request, in which nothing happens here
	onItsWay := c.get("/")
	if late = !unlimited || time.Since(responding) > 400*time.Millisecond; late {
		close(next)
		select {
		case <-entered:
		case <-m.Reached(shutdown.Done):
		}
		return late
	}
	within(t, "the request that was on its way", entered)
	close(next)
	ended, _, _ := c.rest()
	require.Contains(t, ended, onItsWay)
	require.NoError(t, end(t, m))
	return false
}

// A response is not held for long because another stream has none.
func TestAResponseIsHeldForALimitedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, g, network := manager(t, shutdown.Config{}), newGate(t), newPipeNet()
		mux := http.NewServeMux()
		mux.Handle("/held", g)
		srv := &http.Server{Handler: mux}
		protocols["h2c"].configure(srv)
		startOn(t, m, srv, counted(network))
		c := h2On(network.dialRaw(t))
		c.get("/held")
		within(t, "the request", g.entered)
		m.Begin(nil)
		<-network.ended
		asked := time.Now()
		quick := c.get("/")
		require.Equal(t, quick, c.read(frameHeaders, 0).stream)
		require.Equal(t, 100*time.Millisecond, time.Since(asked))
		g.Open()
		c.rest()
		require.NoError(t, end(t, m))
	})
}

// The same on a socket and without measuring time: the response comes while the other
// stream still has none, and there is a GOAWAY.
func TestAResponseDoesNotWaitForALongStream(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	mux := http.NewServeMux()
	mux.Handle("/held", g)
	c, addr := startH2(t, m, mux)
	held := c.get("/held")
	within(t, "the request", g.entered)
	m.Begin(nil)
	waitRefused(t, addr)
	quick, goAway := c.get("/"), false
	f := c.read2(frameHeaders, frameGoAway)
	for f.kind == frameGoAway {
		goAway = true
		f = c.read2(frameHeaders, frameGoAway)
	}
	require.Equal(t, quick, f.stream)
	g.Open()
	ended, goAwayLater, _ := c.rest()
	require.Contains(t, ended, held)
	require.True(t, goAway || goAwayLater)
	require.NoError(t, end(t, m))
}

// A client that does not read for a while makes the server's writes block. The GOAWAY
// must not come between two writes of one frame.
func TestASlowReaderGetsWholeFrames(t *testing.T) {
	t.Parallel()
	const requests, size = 240, 3000
	m, g := manager(t, shutdown.Config{}), newGate(t)
	var handled sync.WaitGroup
	handled.Add(requests)
	mux := http.NewServeMux()
	mux.Handle("/held", g)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		defer handled.Done()
		_, _ = w.Write(make([]byte, size))
	})
	c := slowReader(t, m, mux)
	c.get("/held")
	within(t, "the request", g.entered)
	want := map[uint32]int{}
	for range requests {
		want[c.get("/")] = size
	}
	handled.Wait() // the handlers have returned, and their responses are blocked
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	g.Open()
	// This is longer than responses are held. There is no event to wait for.
	time.Sleep(400 * time.Millisecond)
	require.Equal(t, want, c.bodies(want))
	require.NoError(t, end(t, m))
}
