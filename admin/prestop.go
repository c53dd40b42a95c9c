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

// preStopWrite is how long the Close hook "preStop response" waits for responses to be
// written.
const preStopWrite = time.Second

func (a *admin) preStop(w http.ResponseWriter, r *http.Request) {
	if status, refusal := a.refuse(r); refusal != "" {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		// The kubelet ignores the status, so the refusal is logged. Only once: every
		// client that can connect can cause it.
		a.refused.Do(func() { slog.Warn("admin: /prestop refused", "from", host(r.RemoteAddr), "reason", refusal) })
		respond(w, status, refusal)
		return
	}
	done, _ := a.preStopCalls.Track("preStop")
	defer done()
	// The kubelet reports a preStop hook without a response as failed, so a Close hook
	// waits until the responses are written. It is registered before Begin, because the
	// shutdown may be over soon after that.
	a.accepted.Do(func() {
		a.m.On(shutdown.Close, "preStop response", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, preStopWrite)
			defer cancel()
			_ = a.preStopCalls.Drain(ctx) // a client that does not read is not an error of the service
			return nil
		})
	})
	a.m.Begin(prestop.Cause(host(r.RemoteAddr)))

	select {
	case <-a.m.Reached(shutdown.Drain):
	case <-r.Context().Done(): // the client has disconnected; the shutdown goes on
		return
	}
	w.Header().Set("Connection", "close")
	respond(w, http.StatusOK, "the lame duck is over")
	limitResponse(w, preStopWrite)
	_ = http.NewResponseController(w).Flush() // before the Close hook stops waiting
}

// refuse returns the reason why r must not start the shutdown, or "".
func (a *admin) refuse(r *http.Request) (status int, reason string) {
	// /prestop has to accept GET, which is what the kubelet's httpGet sends. So a link or
	// an image on any web page could stop the service through the browser of an operator
	// who has forwarded the port.
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
		return http.StatusForbidden, "preStop: requests from browsers are refused"
	}
	if r.Method == http.MethodHead { // the mux treats it as a GET
		return http.StatusMethodNotAllowed, "preStop: method must be GET or POST"
	}
	if a.o.Token == "" {
		return 0, ""
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return http.StatusUnauthorized, "preStop: a token is required: Authorization: Bearer TOKEN"
	}
	// ConstantTimeCompare takes the same time only for the same length.
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
