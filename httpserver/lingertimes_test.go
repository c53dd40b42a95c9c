package httpserver_test

import (
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// The package documentation has these times in step 3.
func TestTheTimesOfTheLinger(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
	// Times are measured from when the last connection was accepted. The client sends
	// first at once and the rest of its request in pieces.
	silent, partial := "", "GET / HTTP/1.1\r\nHost: test\r\n"
	for name, c := range map[string]struct {
		first    string
		others   []time.Duration // when other clients send a request, which is answered
		sends    []time.Duration
		answered bool
	}{
		"a silent connection has 50 ms":              {first: silent, sends: ms(49), answered: true},
		"a silent connection has no more":            {first: silent, sends: ms(61)},
		"50 ms since another request":                {first: silent, others: ms(45, 90, 135, 180, 225), sends: ms(270), answered: true},
		"no more since another request":              {first: silent, others: ms(45, 90, 135, 180, 225), sends: ms(290)},
		"not if the other requests come too late":    {first: silent, others: ms(45, 110), sends: ms(112)},
		"1 s while there are other requests":         {first: silent, others: every(40, 990), sends: ms(990), answered: true},
		"no more while there are other requests":     {first: silent, others: every(40, 1100), sends: ms(1020)},
		"a partial request has 500 ms":               {first: partial, sends: ms(490), answered: true},
		"a partial request has no more":              {first: partial, sends: ms(520)},
		"a partial request has 500 ms for each byte": {first: partial, sends: ms(490, 970), answered: true},
		"a partial request has 1 s in all":           {first: partial, sends: ms(490, 970, 1020)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, network := manager(t, shutdown.Config{GracePeriod: 30 * time.Second}), newPipeNet()
				startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}), counted(network))
				// The listener cannot inspect its queue, so it waits for 50 ms without a
				// connection.
				begin := time.Now().Add(50 * time.Millisecond)
				conn := network.dialRaw(t)
				conn.send(c.first)
				for _, at := range c.others {
					other := network.dialRaw(t)
					time.AfterFunc(time.Until(begin.Add(at)), func() { _, _ = io.WriteString(other, request) })
				}
				ended := wait(m)
				m.Begin(nil)
				rest := request[len(c.first):]
				for i, at := range c.sends {
					time.Sleep(time.Until(begin.Add(at)))
					if i < len(c.sends)-1 {
						conn.send("X: y\r\n")
						continue
					}
					require.Equal(t, c.answered, conn.answered(rest))
				}
				require.NoError(t, <-ended)
			})
		})
	}
}

// answered sends the rest of a request. It reports whether there was a response; if not,
// the connection had been closed.
func (c rawConn) answered(request string) bool {
	c.t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		require.ErrorIs(c.t, err, syscall.EPIPE)
		return false
	}
	require.Equal(c.t, reply{status: 200, close: true}, c.response())
	c.requireEnd()
	return true
}

// counted returns a listener whose connections cannot be map keys. So their reads and
// writes are counted, as those of TCP connections are with HTTP/2.
func counted(n *pipeNet) net.Listener {
	return wrapping{n, func(c net.Conn) net.Conn { return valueConn{Conn: c} }}
}

func ms(list ...int) (ds []time.Duration) {
	for _, n := range list {
		ds = append(ds, time.Duration(n)*time.Millisecond)
	}
	return ds
}

// every returns all multiples of step up to end, in milliseconds.
func every(step, end int) (ds []time.Duration) {
	for n := step; n <= end; n += step {
		ds = append(ds, ms(n)...)
	}
	return ds
}
