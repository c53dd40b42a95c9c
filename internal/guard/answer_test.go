package guard

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The paths of requests.
const (
	shortPath = "/short"
	longPath  = "/long"
)

// work returns how long the answer to a request takes, and how many bytes it has
// between two copies of the request's body.
func work(path string) (took time.Duration, size int) {
	if path == longPath {
		return 200*time.Millisecond + rand.N(1800*time.Millisecond), rand.N(200 << 10)
	}
	return time.Millisecond + rand.N(2*time.Millisecond), rand.N(2 << 10)
}

// ServeHTTP answers the requests of package load.
func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	took, size := work(r.URL.Path)
	text := string(body) + strings.Repeat(".", size) + string(body)
	if a.Length {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	flush := func() { _ = http.NewResponseController(w).Flush() } // it fails behind a TimeoutHandler

	switch a.Kind {
	case early:
		w.WriteHeader(http.StatusOK)
		flush()
		time.Sleep(took)
		_, _ = io.WriteString(w, text)
	case pieces, fewPieces:
		n := 10
		if a.Kind == fewPieces {
			n = 1 + rand.N(10)
		}
		for i := range n {
			time.Sleep(took / time.Duration(n))
			_, _ = io.WriteString(w, text[i*len(text)/n:(i+1)*len(text)/n])
			if !a.Length || i == 0 {
				flush()
			}
		}
	default:
		time.Sleep(took)
		if !a.Length {
			flush() // otherwise net/http sets the length of a short answer
		}
		_, _ = io.WriteString(w, text)
	}
}
