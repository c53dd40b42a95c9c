// Package signame has the names of signals for logs and errors. It names SIGTERM as such
// on every system, where [syscall.Signal.String] returns "terminated".
package signame

import "os"

// Name returns the name of sig, such as SIGTERM or, on Linux, SIGRTMIN+3. For a signal
// without a name it returns sig.String(), such as "signal 70".
func Name(sig os.Signal) string {
	if name := nameOf(sig); name != "" {
		return name
	}
	return sig.String()
}
