package diagnose

import (
	"io/fs"
	"strconv"
	"strings"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A status describes a process between PID 1 and this program, or a child of this program.
type status struct {
	pid, ppid       int
	name            string // comm; a zombie has no command line
	command         string // the command line, for messages
	conduct         conduct
	state           byte
	session         int    // as this PID namespace numbers it; 0 if the kernel does not say
	caught, ignored uint64 // signals, signal n as bit n-1
}

// status reads the status of a process, which any user may read. ok is false if the process
// has ended, or if /proc does not exist or hides it.
func (me Process) status(pid string) (s status, ok bool) {
	for line := range strings.Lines(me.read(pid + "/status")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			s.name = value
		case "State":
			if value != "" {
				s.state = value[0]
			}
		case "Pid":
			s.pid, _ = strconv.Atoi(value)
		case "PPid":
			s.ppid, _ = strconv.Atoi(value)
		case "NSsid":
			s.session, _ = strconv.Atoi(value[strings.LastIndexByte(value, '\t')+1:])
		case "SigIgn":
			s.ignored, _ = strconv.ParseUint(value, 16, 64)
		case "SigCgt":
			s.caught, _ = strconv.ParseUint(value, 16, 64)
			ok = s.pid > 0
		}
	}
	return s, ok
}

// args returns the command line, which is empty for a zombie.
func (me Process) args(pid string) []string {
	line := strings.TrimRight(me.read(pid+"/cmdline"), "\x00")
	if line == "" {
		return nil
	}
	return strings.Split(line, "\x00")
}

// children returns the pids of this program's children, if it is PID 1: those that it has
// inherited, and those that its first thread has started. The file exists with
// CONFIG_PROC_CHILDREN, which distributions set.
func (me Process) children() []string {
	if me.PID != 1 {
		return nil
	}
	if self, ok := me.status("self"); !ok || self.pid != 1 { // /proc is that of another PID namespace
		return nil
	}
	return me.childrenOf("1")
}

func (me Process) childrenOf(pid string) []string {
	pids := strings.Fields(me.read(pid + "/task/" + pid + "/children"))
	return pids[:min(len(pids), mostChildren)]
}

// mostChildren bounds the number of children that are examined.
const mostChildren = 100

// started returns the processes that this program has started with os/exec or
// os.StartProcess and has not waited for. Go holds a pidfd for each.
func (me Process) started() (pids []string) {
	open, err := fs.ReadDir(me.Proc, "self/fdinfo")
	if err != nil {
		return nil
	}
	for _, fd := range open {
		for line := range strings.Lines(me.read("self/fdinfo/" + fd.Name())) {
			if pid, ok := strings.CutPrefix(line, "Pid:"); ok {
				pids = append(pids, strings.TrimSpace(pid))
			}
		}
	}
	return pids
}

// readsOurOutput reports whether stdout or stderr of this program is a pipe that pid reads.
func (me Process) readsOurOutput(pid string) bool {
	pipe, err := fs.ReadLink(me.Proc, pid+"/fd/0")
	if err != nil || !strings.HasPrefix(pipe, "pipe:") {
		return false
	}
	stdout, _ := fs.ReadLink(me.Proc, "self/fd/1")
	stderr, _ := fs.ReadLink(me.Proc, "self/fd/2")
	return pipe == stdout || pipe == stderr
}

func (me Process) read(name string) string {
	if me.Proc == nil {
		return ""
	}
	text, err := fs.ReadFile(me.Proc, name)
	if err != nil {
		return ""
	}
	return string(text)
}

// readable returns a command line for a log line. A script in -c may be long.
func readable(args []string) string {
	const most = 80
	line := strings.Join(strings.Fields(strings.Join(args, " ")), " ")
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "..."
	}
	return clip.Graphic(line)
}
