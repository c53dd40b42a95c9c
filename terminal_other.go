//go:build !unix && !windows

package shutdown

// stderrIsTerminal does not know.
func stderrIsTerminal() bool { return false }
