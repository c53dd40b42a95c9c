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
	"strconv"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// pagePatience is for Options.Ready: who looks at the page has other questions
// too.
const pagePatience = time.Second

var errNoAnswer = errors.New("Options.Ready has not returned within " + pagePatience.String())

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pagePolicy lets a browser fetch nothing and run nothing, and apply only the
// style that is in the page, which is known by its hash.
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
	if wantsJSON(r.Header.Values("Accept")) {
		err = json.NewEncoder(&body).Encode(report)
	} else {
		contentType = "text/html; charset=utf-8"
		ctx, cancel := context.WithTimeoutCause(r.Context(), pagePatience, errNoAnswer)
		state, why := a.readiness(ctx)
		cancel()
		err = pageTemplate.Execute(&body, newPage(report, state, why, a.started))
	}
	answerBy(w, writeTimeout)
	if err != nil {
		http.Error(w, "admin: write the status page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	_, _ = w.Write(body.Bytes())
}

// wantsJSON reports whether JSON is asked for, and HTML is not, or with a lower
// weight, or the same and only behind it.
func wantsJSON(accept []string) bool {
	var json, html float64
	jsonFirst := false
	for part := range strings.SplitSeq(strings.ToLower(strings.Join(accept, ",")), ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		weight := weightOf(parameters)
		switch strings.TrimSpace(kind) {
		case "application/json":
			json, jsonFirst = weight, html == 0
		case "text/html":
			html = weight
		}
	}
	return json > html || json == html && json > 0 && jsonFirst
}

// weightOf is the q among the parameters of a media type; 1 if there is none
// that makes sense.
func weightOf(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		if q, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			if f, err := strconv.ParseFloat(q, 64); err == nil && f >= 0 && f <= 1 {
				return f
			}
		}
	}
	return 1
}
