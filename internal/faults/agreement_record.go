package faults

import (
	"fmt"
	"strings"
	"time"
)

// A Record is the content of the post-mortem record after the end.
type Record struct {
	There   bool   // the file exists
	Result  string // of its Report
	Phase   string
	LastRun bool   // the next start would report that this run was killed
	CutOff  int    // number of tasks cut off
	Named   int    // number of these that it names
	Error   string // of reading the record
}

// recordAgrees checks that the record agrees with the Report, or that the log says
// why it does not.
func recordAgrees(o Outcome, end *End) []string {
	switch r := o.Record; {
	case !o.Plan.Record:
	case o.Plan.Disk == "" && o.Plan.Descriptors == 0:
		if !o.recordIsExcused() && !r.says(end) {
			return []string{fmt.Sprintf("the record is %+v, the result %q, and %d were cut off", r, end.Result, len(end.Report.CutOff))}
		}
	case o.Plan.Disk == diskHangs || o.Plan.Disk == diskHangsLock:
	case o.Plan.Disk == diskReadOnly && o.Plan.DiskBreaks == inDrain:
		// The file can neither be replaced nor removed, so the log has to say so.
		if o.Plan.Logger == "" && !strings.Contains(o.LogText, "Config.Record: not written") && r.Phase != "done" && !o.hadNoTime() {
			return []string{"the disk was read-only, and the log does not say that the record was not written"}
		}
	case r.There && (r.Phase != "done" || r.LastRun) && !o.wasBusy():
		return []string{fmt.Sprintf("the disk was %s%s, and the record says that the run was killed, but it had ended: %+v", o.Plan.Disk, descriptors(o.Plan), r)}
	}
	return nil
}

// says reports whether the record is that of a run which ended as end says.
func (r Record) says(end *End) bool {
	cut := len(end.Report.CutOff)
	return r.There && r.Phase == "done" && r.Result == end.Result && !r.LastRun && r.Error == "" &&
		r.CutOff == cut && r.Named == min(cut, namedInRecord)
}

// namedInRecord is the most tasks that the record names.
const namedInRecord = 256

// recordIsExcused reports whether the record on a healthy disk may lack the end: the
// log says so, unless it is broken, and the library had only milliseconds to write
// it, because the end was forced or at the deadline, or the machine is busy.
func (o Outcome) recordIsExcused() bool {
	end, _ := o.end()
	if end == nil || !o.Plan.Record || o.Plan.Disk != "" || o.Plan.Descriptors > 0 || o.Record.says(end) {
		return false
	}
	return o.hadNoTime()
}

// hadNoTime reports whether the library had only milliseconds to write the end of the
// record, and says so, unless the log is broken. It counts to its own timeout, also if the
// process was stopped and Wait may return later.
func (o Outcome) hadNoTime() bool {
	_, at := o.end()
	atTimeout := at.After(o.begun().Add(o.Plan.Timeout.D() - endTime))
	said := o.diskWasLate() || o.Plan.Logger != ""
	return said && (o.forced() || atTimeout || o.wasBusy())
}

// endTime is the time that package shutdown keeps for the end of the record and of
// the log, and some milliseconds.
const endTime = 50 * time.Millisecond

// diskWasLate reports whether the log says that there was no time left to write
// the end of the record.
func (o Outcome) diskWasLate() bool {
	return strings.Contains(o.LogText, "the end could not be written in time")
}

func descriptors(p Plan) string {
	if p.Descriptors > 0 {
		return "without descriptors"
	}
	return ""
}
