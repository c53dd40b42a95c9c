// Package signame returns the names of signals for logs and errors: SIGTERM, not
// "terminated", on every system.
package signame

import "os"

// Name returns the name of sig: SIGTERM, and on Linux also SIGRTMIN+3. For a signal
// without such a name it returns sig.String() ("signal 70").
func Name(sig os.Signal) string {
	if name := nameOf(sig); name != "" {
		return name
	}
	return sig.String()
}
