package admin

import (
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/gracefulgo/shutdown"
)

// A page is the data for page.html, which escapes its texts.
type page struct {
	CSS     template.CSS
	Refresh int // seconds; 0 is never

	Program, Host string
	Pid           int
	Uptime, Now   string

	Tone      string // of the headline, a class in page.css: ok, wait, busy, bad
	Headline  string
	Sentences []string
	Problem   string // why the service is not ready, or more about the cause
	Countdown []fact

	Chart chart
	Facts []fact
	Guess bool // the grace period, and so the time of SIGKILL, is guessed

	CutOff      []cutGroup
	CutOffCount int // tasks in all
	MoreCutOff  int // tasks whose group is not shown

	Tasks     []task
	TaskCount int
	TaskTitle string
	MoreTasks int
	NoTasks   string
}

// A fact is a number and what it is.
type fact struct {
	Name, Value, Note string
	Bad               bool
}

type task struct {
	Name, Age string
	Percent   string // of the age of the oldest task
}

// What the page shows at most; the JSON has all tasks and their whole names.
const (
	maxTasks = 50       // the oldest tasks in flight, or groups of cut-off tasks
	maxName  = 300      // bytes of a name
	maxText  = 16 << 10 // bytes of an error
)

var hostname = os.Hostname // a test replaces it

func newPage(r shutdown.Report, state readiness, why error, started time.Time) page {
	now := time.Now()
	host, _ := hostname() // the page is useful without it
	p := page{
		CSS:     template.CSS(pageCSS),
		Program: filepath.Base(os.Args[0]),
		Host:    host,
		Pid:     os.Getpid(),
		Uptime:  human(now.Sub(started)),
		Now:     now.Format("15:04:05 MST"),
		Chart:   newChart(r),
		Guess:   strings.HasPrefix(r.GraceSource, "guessed"),
	}
	p.head(r, state, why)
	if r.Phase != shutdown.Running && r.Phase != shutdown.Done {
		p.countDown(r)
	}
	p.Facts = []fact{
		{Name: "Grace period", Value: human(r.GracePeriod), Note: r.GraceSource},
		{Name: "Timeout", Value: human(r.Timeout), Note: "the shutdown ends by then"},
		{Name: "Lame duck", Value: human(r.LameDuck), Note: "still serving after Leave starts"},
		{Name: "Reserve", Value: human(r.Reserve), Note: "kept for Close hooks"},
	}
	p.cutOff(r)
	p.tasks(r, now)
	return p
}

// head fills in the headline, the sentences below it and the colour.
func (p *page) head(r shutdown.Report, state readiness, why error) {
	if r.Phase == shutdown.Running {
		p.Refresh = 5
		p.Tone, p.Headline = "wait", "Starting"
		sentence := "Not ready: Wait has not been called."
		switch state {
		case ready:
			p.Tone, p.Headline, sentence = "ok", "Ready", "Running. The timeline shows a shutdown that starts now."
		case notReady:
			p.Tone, p.Headline, sentence = "bad", "Not ready", "Options.Ready returned an error."
		case starting:
			if why != nil {
				sentence = "Not ready: Options.Ready returned an error."
			}
		case leaving: // the shutdown has started since the report was made
			p.Headline, sentence = "Leaving", "The shutdown has just started."
		}
		p.Sentences = []string{sentence}
		if why != nil {
			p.Problem = shown(fmt.Sprint(why), maxText)
		}
		return
	}

	cause := "requested"
	if r.Cause != nil {
		cause, p.Problem, _ = strings.Cut(shown(fmt.Sprint(r.Cause), maxText), "\n")
	}
	p.Refresh, p.Tone = 1, "busy"
	switch r.Phase {
	case shutdown.Leave:
		p.Headline = "Leaving"
	case shutdown.Drain:
		p.Headline = "Draining"
	case shutdown.Close:
		p.Headline = "Closing"
	case shutdown.Done:
		p.Refresh = 0
		result := r.Result()
		p.Tone, p.Headline = "ok", strings.ToUpper(result[:1])+result[1:]
		if result != "finished" {
			p.Tone = "bad"
		}
		p.Sentences = []string{p.ended(r)}
	}
	if r.Phase != shutdown.Done {
		p.Sentences = []string{"Waiting for " + waitingFor(r) + "."}
	}
	if r.Forced != nil {
		p.Tone = "bad"
		p.Problem = strings.TrimSpace(shown(fmt.Sprint(r.Forced), maxText) + "\n" + p.Problem)
	}
	p.Sentences = append(p.Sentences, "Cause: "+cause+".")
	if n := len(r.CutOff); n > 0 {
		p.Tone, p.Sentences = "bad", append(p.Sentences, cutOffSentence(n))
	}
}

// ended says how long the shutdown took and how much of the grace period was left.
func (p *page) ended(r shutdown.Report) string {
	guess := ""
	if p.Guess {
		guess = ", which is a guess"
	}
	left := r.GracePeriod - r.Took
	if left < 0 {
		return "The shutdown took " + human(r.Took) + ", " + human(-left) + " more than the grace period" + guess + "."
	}
	return "The shutdown took " + human(r.Took) + ". SIGKILL was expected " + human(left) + " later" + guess + "."
}

// waitingFor lists the running hooks, the tasks in flight and the end of the lame duck.
func waitingFor(r shutdown.Report) string {
	var list []string
	for _, s := range r.Steps {
		if s.Running && s.Name != "" {
			list = append(list, shown(s.Name, maxName))
		}
	}
	if n := len(r.Unfinished); n > 0 && r.Phase == shutdown.Drain {
		list = append(list, fmt.Sprintf("%d in flight, the oldest %s", n, shown(r.Unfinished[0].Name, maxName)))
	}
	if left := r.LameDuck - r.Took; r.Phase == shutdown.Leave && left > 0 {
		list = append(list, "the end of the lame duck in "+human(left))
	}
	if len(list) == 0 {
		return "nothing: the next phase is about to start"
	}
	return strings.Join(list, "; ")
}

func (p *page) countDown(r shutdown.Report) {
	kill := "at " + r.Begun.Add(r.GracePeriod).Format("15:04:05")
	if p.Guess {
		kill += ", a guess"
	}
	p.Countdown = []fact{
		{Name: "since the shutdown started", Value: human(r.Took)},
		{Name: "until the timeout", Value: human(max(0, r.Timeout-r.Took)), Bad: r.Timeout-r.Took < r.Reserve},
		{Name: "until SIGKILL", Value: human(max(0, r.GracePeriod-r.Took)), Note: kill, Bad: r.GracePeriod-r.Took < r.Reserve},
	}
}

func (p *page) tasks(r shutdown.Report, now time.Time) {
	p.TaskTitle, p.NoTasks = "In flight", "Nothing is in flight."
	if r.Phase == shutdown.Close || r.Phase == shutdown.Done {
		p.TaskTitle, p.NoTasks = "In flight when Drain ended", "Nothing was in flight when Drain ended."
		if len(r.CutOff) > 0 {
			p.NoTasks = "Nothing was in flight when Drain ended: the tasks that were cut off had returned."
		}
		now = r.Begun.Add(r.Took)
	}
	p.TaskCount = len(r.Unfinished)
	p.MoreTasks = max(0, len(r.Unfinished)-maxTasks)
	for _, t := range r.Unfinished[:p.TaskCount-p.MoreTasks] {
		age, oldest := now.Sub(t.Since), now.Sub(r.Unfinished[0].Since)
		p.Tasks = append(p.Tasks, task{shown(t.Name, maxName), human(age), percent(age, max(oldest, 1))})
	}
}

// shown makes a text from outside fit to be shown. The template escapes it; shown limits
// its length, because the page reloads each second, and replaces the characters that
// change the direction of writing, and with it how the text around them reads.
func shown(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r // U+FFFD for invalid UTF-8
	}, s)
}

// human formats d with up to three digits and a unit, or with two units.
func human(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 0:
		return "−" + human(-d)
	case d < time.Millisecond:
		return trim(float64(d)/float64(time.Microsecond), "µs")
	case d < time.Second:
		return trim(float64(d)/float64(time.Millisecond), "ms")
	case d < time.Minute:
		return trim(d.Seconds(), "s")
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

func trim(v float64, unit string) string {
	digits := 1
	if v >= 100 {
		digits = 0
	}
	return strings.TrimSuffix(fmt.Sprintf("%.*f", digits, v), ".0") + " " + unit
}

func percent(part, whole time.Duration) string {
	return fmt.Sprintf("%.2f%%", 100*min(max(float64(part)/float64(whole), 0), 1))
}
