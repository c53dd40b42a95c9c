package main

import (
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
)

func TestMain(m *testing.M) {
	if child.RunRole(roles) {
		return
	}
	os.Exit(m.Run())
}

func TestAPairIsMeasured(t *testing.T) {
	if err := findWrk(); err != nil {
		t.Skip(err)
	}
	for _, args := range [][]string{{}, {"-mux"}, {"-against", "bare"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			p, err := parse(append(args, "-pairs", "1", "-seconds", "1", "-warmup", "1", "-clients", "4"), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder

			for range 10 {
				out.Reset()
				err = p.measure(t.Context(), &out)
				if err == nil || !strings.Contains(err.Error(), "no requests") {
					break
				} // wrk was not scheduled for the whole second
			}

			t.Logf("\n%s", &out)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"req/s", "RATIO", "median", "P99"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the table has no %q", want)
				}
			}
		})
	}
}

const wrkOutput = `Running 1s test @ http://127.0.0.1:40821/hello/world
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    80.02us   91.09us   2.51ms   94.62%
    Req/Sec    56.22k     2.28k   59.16k    80.00%
  Latency Distribution
     50%   59.00us
     75%   84.00us
     90%  122.00us
     99%    1.45ms
  55937 requests in 1.00s, 6.88MB read
`

func TestTheOutputOfWrkIsParsed(t *testing.T) {
	r, requests, err := parseWrk(wrkOutput + "Requests/sec:  55908.61\nTransfer/sec:      6.88MB\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (result{perSecond: 55908.61, p50: 59 * time.Microsecond, p99: 1450 * time.Microsecond}); r != want || requests != 55937 {
		t.Errorf("%+v of %d requests", r, requests)
	}
	for _, bad := range []string{wrkOutput, wrkOutput + "  Non-2xx or 3xx responses: 7\nRequests/sec:  55908.61\n", ""} {
		if _, _, err := parseWrk(bad); err == nil {
			t.Errorf("no error for:\n%s", bad)
		}
	}
}

func TestTheGeometricMeanHasAConfidenceInterval(t *testing.T) {
	// In units of log 4 the values are 1, -1, 1, -1 and 0. Student's interval at 95 %
	// for 5 values with mean 0 and standard deviation 1 is 2.776/sqrt(5) to each side.
	mean, low, high := geometricMean([]float64{4, 0.25, 4, 0.25, 1})
	sd := math.Log(4) // sqrt((1+1+1+1+0)/4)
	if math.Abs(mean-1) > 1e-9 || math.Abs(math.Log(high)/sd-1.2417) > 0.01 || math.Abs(low*high-1) > 1e-9 {
		t.Errorf("%v, %v to %v", mean, low, high)
	}
	if _, low, high := geometricMean([]float64{2}); low != 0 || !math.IsInf(high, 1) {
		t.Errorf("the interval of one value is %v to %v, not unbounded", low, high)
	}
}
