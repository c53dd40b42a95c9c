// Package signame has the names of signals as logs and errors show them: SIGTERM
// and not "terminated", on every system.
package signame

import "os"

// Name returns the name of sig: SIGTERM, SIGINT; on Linux also SIGRTMIN+3. What
// has no such name is called what sig calls itself ("signal 70").
func Name(sig os.Signal) string {
	if name := nameOf(sig); name != "" {
		return name
	}
	return sig.String()
}
