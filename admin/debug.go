package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// pageReadyTimeout is short: the status page has to load although Options.Ready hangs.
const pageReadyTimeout = time.Second

var errPageReadyTimeout = errors.New("Options.Ready has not returned within " + pageReadyTimeout.String())

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pagePolicy forbids the browser to load or run anything. Only the style in the page is
// allowed, by its hash.
var pagePolicy = func() string {
	hash := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

func (a *admin) debug(w http.ResponseWriter, r *http.Request) {
	report := a.m.Report()
	if report.Phase == shutdown.Running {
		report.Unfinished = a.m.Tasks()
	}
	var body bytes.Buffer
	var err error
	contentType := "application/json"
	// A browser asks for text/html, and curl for */*: both get the page.
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		err = json.NewEncoder(&body).Encode(report)
	} else {
		contentType = "text/html; charset=utf-8"
		ctx, cancel := context.WithTimeoutCause(r.Context(), pageReadyTimeout, errPageReadyTimeout)
		state, why := a.readiness(ctx)
		cancel()
		err = pageTemplate.Execute(&body, newPage(report, state, why, a.started))
	}
	limitResponse(w, writeTimeout)
	if err != nil {
		http.Error(w, "admin: render the status page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body.Bytes())
}
