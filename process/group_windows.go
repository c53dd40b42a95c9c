package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/gracefulgo/shutdown/internal/signame"
)

// A group is a job object. No process can leave it. When the program exits, in
// whatever way, the kernel closes the job and ends the processes in it.
type group struct {
	id  uint32
	job windows.Handle
}

const defaultSignal = syscall.SIGTERM

// statusText returns "exit status 1".
func statusText(status *os.ProcessState) string { return status.String() }

func checkSignal(sig os.Signal) error {
	if sig != os.Interrupt && sig != syscall.SIGTERM {
		return fmt.Errorf("process: Options.Signal: %s: on Windows CTRL_BREAK is the only signal that can be sent, as SIGTERM or os.Interrupt", signame.Name(sig))
	}
	return nil
}

// isPipeGone reports whether err is that of writing to a pipe that no process
// reads any more.
func isPipeGone(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}

// startGroup starts cmd suspended, so that it is in the job before it can start
// other processes.
func startGroup(cmd *exec.Cmd) (*group, error) {
	job, err := newJob()
	if err != nil {
		return nil, err
	}
	attr := cmd.SysProcAttr
	var own syscall.SysProcAttr
	if attr != nil {
		own = *attr
	}
	own.CreationFlags |= windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP
	cmd.SysProcAttr = &own
	err = cmd.Start()
	cmd.SysProcAttr = attr
	if err != nil {
		_ = windows.CloseHandle(job)
		return nil, err
	}
	g := &group{uint32(cmd.Process.Pid), job}
	if err := g.adopt(); err != nil {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		_ = cmd.Wait() // closes the pipes
		g.close()
		return nil, err
	}
	return g, nil
}

func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, os.NewSyscallError("CreateJobObject", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		_ = windows.CloseHandle(job)
		return 0, os.NewSyscallError("SetInformationJobObject", err)
	}
	return job, nil
}

// adopt puts the child into the job and lets it run. exec.Cmd holds a handle of
// the child, so its PID is not reused.
func (g *group) adopt() error {
	child, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, g.id)
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer windows.CloseHandle(child) //nolint:errcheck // nothing depends on it
	if err := windows.AssignProcessToJobObject(g.job, child); err != nil {
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	threads, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return os.NewSyscallError("CreateToolhelp32Snapshot", err)
	}
	defer windows.CloseHandle(threads) //nolint:errcheck // nothing depends on it
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(threads, &entry); err == nil; err = windows.Thread32Next(threads, &entry) {
		if entry.OwnerProcessID == g.id { // the only thread, as the child has not run yet
			return resume(entry.ThreadID)
		}
	}
	return os.NewSyscallError("Thread32Next", err)
}

func resume(id uint32) error {
	thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, id)
	if err != nil {
		return os.NewSyscallError("OpenThread", err)
	}
	defer windows.CloseHandle(thread) //nolint:errcheck // nothing depends on it
	_, err = windows.ResumeThread(thread)
	return os.NewSyscallError("ResumeThread", err)
}

// signal reaches the console programs that share this program's console.
func (g *group) signal(os.Signal) error {
	return os.NewSyscallError("GenerateConsoleCtrlEvent", windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, g.id))
}

// kill ends the processes with the exit code that os.Process.Kill gives.
func (g *group) kill() error {
	return os.NewSyscallError("TerminateJobObject", windows.TerminateJobObject(g.job, 1))
}

// jobProcessIDs is JOBOBJECT_BASIC_PROCESS_ID_LIST.
type jobProcessIDs struct {
	Assigned, InList uint32
	IDs              [1024]uintptr
}

func (g *group) left() (int, []Survivor) {
	var list jobProcessIDs
	err := windows.QueryInformationJobObject(g.job, windows.JobObjectBasicProcessIdList,
		uintptr(unsafe.Pointer(&list)), uint32(unsafe.Sizeof(list)), nil)
	if err != nil && !errors.Is(err, windows.ERROR_MORE_DATA) {
		return 1, []Survivor{{Pid: int(g.id), Command: "job object", Err: os.NewSyscallError("QueryInformationJobObject", err)}}
	}
	var survivors []Survivor
	for _, id := range list.IDs[:min(int(list.InList), len(list.IDs))] {
		survivors = append(survivors, Survivor{Pid: int(id), Command: "in the job object", Err: errStillThere})
	}
	return int(list.Assigned), survivors
}

func (g *group) close() { _ = windows.CloseHandle(g.job) }
