package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/prestop"
)

// lastAnswer is how long Close waits for the answers of /prestop, which then
// only have to be written.
const lastAnswer = time.Second

func (a *admin) preStop(w http.ResponseWriter, r *http.Request) {
	if status, refusal := a.refuse(r); refusal != "" {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		// The kubelet does not look at the status, so nobody else would say it.
		// Once, because anybody can call.
		a.refused.Do(func() { slog.Warn("admin: /prestop refused", "from", host(r.RemoteAddr), "why", refusal) })
		answer(w, status, refusal)
		return
	}
	answered, _ := a.answers.Track("preStop")
	defer answered()
	// The kubelet complains of a preStop hook that gets no answer, so one is
	// written before the process ends. The hook comes before Begin, or the
	// shutdown might be over by then.
	if a.m.Phase() != shutdown.Done && a.called.CompareAndSwap(false, true) {
		a.m.On(shutdown.Close, "preStop answer", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, lastAnswer)
			defer cancel()
			_ = a.answers.Drain(ctx) // who does not read an answer is no fault of the service
			return nil
		})
	}
	a.m.Begin(prestop.Cause(host(r.RemoteAddr)))

	select {
	case <-a.m.Reached(shutdown.Drain):
	case <-r.Context().Done(): // the caller has gone; the shutdown goes on
		return
	}
	w.Header().Set("Connection", "close")
	answer(w, http.StatusOK, "the lame duck is over")
	answerBy(w, lastAnswer)
	_ = http.NewResponseController(w).Flush() // all that there is to do about an error is done
}

// refuse says why r must not begin the shutdown; "" means that it may.
func (a *admin) refuse(r *http.Request) (status int, why string) {
	// The kubelet's httpGet is a GET, so a link or an image on any web page
	// could do it, with the browser of somebody who has forwarded the port.
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
		return http.StatusForbidden, "preStop is not for browsers"
	}
	if r.Method == http.MethodHead { // which the mux counts as a GET
		return http.StatusMethodNotAllowed, "preStop is GET or POST"
	}
	if a.o.Token == "" {
		return 0, ""
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return http.StatusUnauthorized, "preStop needs a token: Authorization: Bearer TOKEN"
	}
	// Hashed, so that the comparison takes the same time whatever the length.
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(a.o.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return http.StatusForbidden, "preStop: wrong token"
	}
	return 0, ""
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}
