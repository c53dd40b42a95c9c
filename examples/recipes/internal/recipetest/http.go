package recipetest

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// An Answer is what a client got for its request.
type Answer struct {
	Status int
	Body   string
	Err    error
}

// Get sends a request, and returns a channel that gets its answer.
func Get(t testing.TB, c *http.Client, url string) <-chan Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return Do(c, req)
}

// Do sends a request, and returns a channel that gets its answer.
func Do(c *http.Client, req *http.Request) <-chan Answer {
	answers := make(chan Answer, 1)
	go func() {
		resp, err := c.Do(req)
		if err != nil {
			answers <- Answer{Err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answers <- Answer{resp.StatusCode, string(body), err}
	}()
	return answers
}

// DrainsOrder starts program, sends it SIGTERM while it handles GET /orders/17, and checks
// that the log names the request as name, that it is answered, and that the program ends
// well.
func DrainsOrder(t *testing.T, program, name string) {
	t.Helper()
	p := Start(t, program)
	p.AwaitListen()
	answer := Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	p.Await(`shutdown: waiting phase=drain waiting_for="` + name + " ")
	p.Release()
	got := <-answer
	require.NoError(t, got.Err)
	require.Equal(t, http.StatusOK, got.Status)
	require.Equal(t, "done\n", got.Body)
	p.ExitsWell()
}

// LosesOrder starts program, sends it SIGTERM while it handles GET /orders/17, and checks
// that the request gets no answer. It returns how the program ended and the error of the
// client.
func LosesOrder(t *testing.T, program string) (exit string, lost error) {
	t.Helper()
	p := Start(t, program)
	p.AwaitListen()
	answer := Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	got := <-answer // nothing releases it
	require.Error(t, got.Err)
	return p.Exit(), got.Err
}
