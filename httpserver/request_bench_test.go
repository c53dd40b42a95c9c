package httpserver_test

import (
	"bytes"
	"io"
	"math"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkRequest measures what the library adds to the time of a request on one
// processor. Two servers in this process get requests in turn, a few hundred each, because
// the speed of a machine changes by more than the difference within seconds. The time of
// the clients is the same for both, so the difference is the library's.
//
//	go test -run '^$' -bench Request -benchtime 2000x -cpu 1 ./httpserver
func BenchmarkRequest(b *testing.B) {
	var servers [2]*requester
	for i, start := range []func(*testing.B, *http.Server) (string, func()){startPlain, startLibrary} {
		addr, stop := start(b, &http.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "Hello, world!")
		})})
		defer stop()
		servers[i] = connect(b, addr)
		defer servers[i].close()
		servers[i].send(b, 100)
	}
	var plain time.Duration
	var logs []float64
	for n := 0; b.Loop(); n++ {
		var took [2]time.Duration
		for _, i := range [][]int{{0, 1}, {1, 0}}[n%2] {
			took[i] = servers[i].send(b, 10)
		}
		plain += took[0]
		logs = append(logs, math.Log(float64(took[1])/float64(took[0])))
	}
	ratio, within := meanAndInterval(logs)
	perRequest := float64(plain.Nanoseconds()) / float64(len(logs)*10*len(servers[0].conns))
	b.ReportMetric(perRequest, "plain-ns/request")
	b.ReportMetric((math.Exp(ratio)-1)*perRequest, "more-ns/request")
	b.ReportMetric(within*perRequest, "±ns")
	b.ReportMetric(0, "ns/op")
}

// A requester has 32 connections.
type requester struct{ conns []net.Conn }

func connect(b *testing.B, addr string) *requester {
	r := new(requester)
	for range 32 {
		c, err := net.Dial("tcp", addr)
		require.NoError(b, err)
		r.conns = append(r.conns, c)
	}
	return r
}

// send sends a request on each connection before it reads the answers.
func (r *requester) send(b *testing.B, rounds int) time.Duration {
	request, end, buf := []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), []byte("Hello, world!"), make([]byte, 1024)
	begun := time.Now()
	for range rounds {
		for _, c := range r.conns {
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
		}
		for _, c := range r.conns { // an answer of that size comes in one piece
			if n, err := c.Read(buf); err != nil || !bytes.HasSuffix(buf[:n], end) {
				b.Fatalf("%q, %v", buf[:n], err)
			}
		}
	}
	return time.Since(begun)
}

func (r *requester) close() {
	for _, c := range r.conns {
		_ = c.Close()
	}
}

// meanAndInterval returns the mean and half the width of its 95 % confidence interval.
func meanAndInterval(all []float64) (mean, within float64) {
	n := float64(len(all))
	var squares float64
	for _, x := range all {
		mean += x / n
	}
	for _, x := range all {
		squares += (x - mean) * (x - mean)
	}
	return mean, 1.96 * math.Sqrt(squares/max(1, n-1)/n)
}
