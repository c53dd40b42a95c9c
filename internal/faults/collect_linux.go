package faults

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"syscall"

	"github.com/gracefulgo/shutdown"
)

// collect adds to the outcome what the process has left: journal, log, record, files
// and processes.
func (r *run) collect() {
	o := &r.out
	o.Journal = r.journal.all()
	o.LogText += r.stderr.String()
	o.Log = parseLog(o.LogText)
	if syscall.Kill(-r.cmd.Process.Pid, 0) == nil {
		o.Left = append(o.Left, "a process of its group")
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	}
	known := map[string]bool{"record": true, "record.lock": true}
	if r.plan.Disk == diskHangs || o.diskWasLate() || r.plan.Logger != "" { // the process may have ended between writing and renaming
		known["record.tmp"] = true
	}
	files, err := os.ReadDir(r.dir)
	if err != nil {
		o.Left = append(o.Left, err.Error())
	}
	for _, f := range files {
		if !known[f.Name()] {
			o.Left = append(o.Left, "the file "+f.Name())
		}
	}
	if r.plan.Record {
		o.Record = readRecord(r.record())
	}
}

// readRecord reads the record's file, and then has a Manager read it, as at the next
// start.
func readRecord(path string) (r Record) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r
	}
	r.There = true
	var file struct {
		CutOff int `json:"cut_off"`
		Report shutdown.Report
	}
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		r.Error = err.Error()
		return r
	}
	r.Phase, r.Result = file.Report.Phase.String(), resultOf(file.Report)
	r.CutOff, r.Named = file.CutOff, len(file.Report.CutOff)
	next, err := shutdown.New(shutdown.Config{
		Record: path, Signals: map[os.Signal]shutdown.Action{}, Logger: discard, LameDuck: -1,
	})
	if err != nil {
		r.Error = err.Error()
		return r
	}
	_, r.LastRun = next.LastRun()
	next.Begin(nil)
	if err := next.Wait(); err != nil {
		r.Error = err.Error()
	}
	return r
}

var discard = slog.New(slog.DiscardHandler)
